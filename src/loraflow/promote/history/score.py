"""The champion's score over time, and below it what became of each night."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from markupsafe import Markup

from loraflow.page.charts.scale import Box, Scale
from loraflow.page.charts.svg import Point, drawing, line, tag, told, way, width_of, write
from loraflow.promote.history.looks import LOOKS, night_mark
from loraflow.promote.history.nights import Night, counts_of
from loraflow.promote.history.timeline import Timeline

_LEFT, _TOP, _HEIGHT, _LANE = 84.0, 34.0, 230.0, 25.0
_MANY = 120  # nights from which on marks are small
_APART = 8.0  # units between two versions' names


def draw_score(nights: Sequence[Night], width: float) -> Markup:
    """Return the chart; without a score there are only the marks of the nights."""
    scale = next((night.scale for night in reversed(nights) if night.score is not None), None)
    scored = [night for night in nights if night.scale and scale and night.scale[0] == scale[0]]
    has_scores = any(_known(night) for night in scored)
    bottom = _TOP + _HEIGHT if has_scores else 8.0
    timeline = Timeline.over(nights, Box(_LEFT, _TOP, width - 14, bottom))
    lanes = list(counts_of(nights))
    floor = bottom + 18 + _LANE * len(lanes)
    parts: list[Markup] = []
    if has_scores and scale is not None:
        up = timeline.box.up(_heights(scored))
        parts += [_axis(timeline, up, scale[0]), *_reigns(timeline, up, scored)]
        parts += _challengers(timeline, up, scored)
        parts += _changes(timeline, up, scored)
    size = 3.2 if len(nights) > _MANY else 4.6
    for place, outcome in enumerate(lanes):
        y = bottom + 26 + _LANE * place
        parts.append(line((_LEFT, y), (timeline.box.right, y), "grid"))
        parts.append(write(_LEFT - 12, y, LOOKS[outcome].word, anchor="end"))
        parts += [
            night_mark(night, (timeline.x(night), y), size=size)
            for night in nights
            if night.record.outcome == outcome
        ]
    return drawing(width, floor + 26, [*parts, *timeline.dates(floor)], _words(nights))


def _axis(timeline: Timeline, up: Scale, metric: str) -> Markup:
    parts = [write(2, _TOP - 18, f"{metric} of the champion", look="axis")]
    for tick in up.ticks(5):
        parts.append(line((_LEFT, up(tick)), (timeline.box.right, up(tick)), "grid"))
        parts.append(write(_LEFT - 8, up(tick), f"{tick:.6g}", anchor="end"))
    return Markup().join(parts)


def _known(night: Night) -> bool:
    return night.score is not None and math.isfinite(night.score.value)


def _heights(nights: Sequence[Night]) -> Iterator[float]:
    for night in nights:
        if night.score is not None:
            yield from (night.score.low, night.score.value, night.score.high)
        if night.decision is not None:
            yield night.decision.challenger.value


def _reigns(timeline: Timeline, up: Scale, nights: Sequence[Night]) -> Iterator[Markup]:
    """Yield the line and band of each stretch of nights whose scores can be compared."""
    for _, group in groupby(nights, key=lambda night: (night.scale, _known(night))):
        stretch = list(group)
        if not _known(stretch[0]):
            continue
        if stretch[0] is not nights[0]:
            x = timeline.x(stretch[0])
            words = told("the gate set changed: scores on either side cannot be compared")
            if nights[nights.index(stretch[0]) - 1].scale != stretch[0].scale:
                ends = ((x - 5, _TOP), (x - 5, timeline.box.bottom))
                yield line(*ends, "break", words)
        middle = [(timeline.x(one), up(one.score.value)) for one in stretch if one.score]
        highs = [(timeline.x(one), up(_end(one, 1))) for one in stretch]
        lows = [(timeline.x(one), up(_end(one, -1))) for one in stretch]
        around = [*_steps(highs), *reversed(_steps(lows))]
        yield tag("path", class_="band s0", d=f"{way(around)}Z")
        yield tag("path", class_="line s0", d=way(_steps(middle)))
        if len(stretch) == 1:
            yield line(highs[0], lows[0], "bar s0")


def _end(night: Night, sign: int) -> float:
    """Return an end of the interval; the value where it has none."""
    score = night.score
    if score is None:
        return math.nan
    end = score.high if sign > 0 else score.low
    return end if math.isfinite(end) else score.value


def _steps(points: Sequence[Point]) -> list[Point]:
    """Go across first, then up: a score holds until the next night."""
    found = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        found += [(x, before), (x, y)] if y != before else [(x, y)]
    return found


def _challengers(timeline: Timeline, up: Scale, nights: Sequence[Night]) -> Iterator[Markup]:
    """Yield the challengers that were not promoted."""
    size = 2.8 if len(nights) > _MANY else 4.0
    for night in nights:
        found = night.decision
        if found and night.record.outcome == "kept" and math.isfinite(found.challenger.value):
            yield night_mark(night, (timeline.x(night), up(found.challenger.value)), size=size)


def _changes(timeline: Timeline, up: Scale, nights: Sequence[Night]) -> Iterator[Markup]:
    """Yield a mark and the version wherever the champion changed."""
    free = -math.inf
    for night in nights:
        outcome, score = night.record.outcome, night.score
        if outcome not in ("promoted", "rolled_back") or score is None or not _known(night):
            continue
        x, y = timeline.x(night), up(score.value)
        yield line((x, up(_end(night, 1))), (x, up(_end(night, -1))), "bar s0")
        yield night_mark(night, (x, y), size=5.2)
        champion = night.record.champion
        name = "base" if champion is None else f"v{champion}"
        if x - width_of(name) / 2 > free:
            above = up(_end(night, 1)) - 11
            yield write(x, above, name, anchor="middle", look="name")
            free = x + width_of(name) / 2 + _APART


def _words(nights: Sequence[Night]) -> str:
    ended = ", ".join(f"{count} {LOOKS[one].word}" for one, count in counts_of(nights).items())
    return f"The champion's score over {len(nights)} nights: {ended}"
