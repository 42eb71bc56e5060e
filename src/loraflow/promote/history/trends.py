"""Small charts over time: differences, data, drift, durations."""

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from loraflow.evaluate.report.numbers import digits_of, signed
from loraflow.page.charts.marks import mark, series
from loraflow.page.charts.scale import Box, Scale
from loraflow.page.charts.svg import drawing, line, tag, told, way, write
from loraflow.promote.drift.measure import TITLES
from loraflow.promote.gate.decision import BASE_MODEL
from loraflow.promote.history.looks import night_mark
from loraflow.promote.history.nights import Night, took
from loraflow.promote.history.timeline import Timeline

_WIDTH, _HEIGHT = 430.0, 236.0
_BOX = Box(54.0, 34.0, _WIDTH - 12, _HEIGHT - 26)
_FEW = 45  # nights up to which single points are marked
_HOURS = 2 * 3600  # seconds from which on durations are told in hours


def draw_differences(nights: Sequence[Night]) -> Markup | None:
    """Return challenger minus champion with intervals, and the margin that it takes."""
    decided = [
        (night, found)
        for night in nights
        if (found := night.decision) is not None and math.isfinite(found.difference.mean)
    ]
    if not decided:
        return None
    # the first champion's gain over the base model would leave no room for all later ones
    later = [found for _, found in decided if found.reference != BASE_MODEL]
    heights = [0.0]
    for found in later or [found for _, found in decided]:
        gap = found.difference
        heights += [gap.low, gap.mean, gap.high, found.margin]
    timeline, up = Timeline.over(nights, _BOX), _BOX.up(heights)
    parts = [timeline.frame(up, f"challenger minus champion, {decided[-1][1].metric}")]
    parts.append(line((_BOX.left, up(0)), (_BOX.right, up(0)), "base"))
    margins = [(timeline.x(night), up(found.margin)) for night, found in decided]
    ends = [(_BOX.left, margins[0][1]), *margins, (_BOX.right, margins[-1][1])]
    parts.append(tag("path", told("the margin"), class_="bound", d=way(ends)))
    for night, found in decided:
        x, gap = timeline.x(night), found.difference
        if math.isfinite(gap.low) and math.isfinite(gap.high):
            look = f"bar {night.record.outcome}{'' if len(nights) <= _FEW else ' dense'}"
            parts.append(line((x, up(gap.low)), (x, up(gap.high)), look))
        parts.append(night_mark(night, (x, up(gap.mean)), size=_size(nights)))
        if gap.mean > up.high:
            words = f"↑ {signed(gap.mean, digits_of(found.metric))} against the {found.reference}"
            parts.append(write(x + 8, up.end + 2, words, look="strong"))
    return drawing(_WIDTH, _HEIGHT, parts, "Challenger minus champion, each decided night")


def draw_data(nights: Sequence[Night]) -> Markup | None:
    """Return the rows to train on, and below them those that were new."""
    known = [(night, rows) for night in nights if (rows := night.count("rows")) is not None]
    if not known:
        return None
    timeline, up = Timeline.over(nights, _BOX), _from_zero([rows for _, rows in known])
    parts = [timeline.frame(up, "training rows")]
    for night, _ in known:
        if new := night.count("new_rows"):
            x, words = timeline.x(night), told(f"{night.day}: {new:,} new rows")
            parts.append(line((x, _BOX.bottom), (x, up(new)), "stem", words))
    points = [(timeline.x(night), up(rows)) for night, rows in known]
    parts.append(tag("path", class_="line s0", d=way(points)))
    if len(known) <= _FEW:
        parts += [
            tag("g", told(f"{night.day}: {rows:,} rows"), mark(at, size=3.4), class_="s0")
            for at, (night, rows) in zip(points, known, strict=True)
        ]
    return drawing(_WIDTH, _HEIGHT, parts, "Training rows over time")


def draw_drift(nights: Sequence[Night]) -> Markup | None:
    """Return the population stability index of each feature."""
    measured = [night for night in nights if night.record.drift]
    features = features_of(nights)
    if not features:
        return None
    values = [value for night in measured for value in night.record.drift.values()]
    timeline, up = Timeline.over(nights, _BOX), _from_zero([*values, 0.1])
    parts = [timeline.frame(up, "population stability index")]
    for place, feature in enumerate(features):
        parts += _line(timeline, up, measured, feature, place)
    return drawing(_WIDTH, _HEIGHT, parts, "Drift of each feature over time")


def features_of(nights: Sequence[Night]) -> list[str]:
    """Return what drift was measured of, in the order of the first night that has it."""
    return list(dict.fromkeys(name for night in nights for name in night.record.drift))


def draw_durations(nights: Sequence[Night]) -> Markup:
    """Return how long the nights took."""
    longest = max((night.seconds for night in nights), default=0.0)
    unit, name = (3600, "hours") if longest > _HOURS else (60, "minutes")
    timeline = Timeline.over(nights, _BOX)
    up = _from_zero([*(night.seconds / unit for night in nights), 1.0])
    parts = [timeline.frame(up, name)]
    for night in nights:
        if night.record.outcome != "rolled_back":
            x, y = timeline.x(night), up(night.seconds / unit)
            look = f"stem {night.record.outcome}"
            words = told(f"{night.day}: {took(night.seconds)}")
            parts.append(line((x, _BOX.bottom), (x, y), look, words))
            parts.append(night_mark(night, (x, y), size=_size(nights)))
    return drawing(_WIDTH, _HEIGHT, parts, "How long each night took")


def _line(
    timeline: Timeline, up: Scale, measured: Sequence[Night], feature: str, place: int
) -> Iterator[Markup]:
    known = [
        (night, value)
        for night in measured
        if (value := night.record.drift.get(feature)) is not None and math.isfinite(value)
    ]
    points = [(timeline.x(night), up(value)) for night, value in known]
    yield tag("path", class_=f"line thin {series(place)}", d=way(points))
    if len(known) <= _FEW:
        for at, (night, value) in zip(points, known, strict=True):
            words = told(f"{night.day}, {TITLES.get(feature, feature)}: {value:.3f}")
            yield tag("g", words, mark(at, place=place, size=3.0), class_=series(place))


def _from_zero(values: Sequence[float]) -> Scale:
    highest = max((one for one in values if math.isfinite(one)), default=1.0)
    return Scale(0.0, 1.08 * highest or 1.0, _BOX.bottom, _BOX.top)


def _size(nights: Sequence[Night]) -> float:
    return 3.8 if len(nights) <= _FEW else 2.4
