"""Quality against r: a line for each target set, with intervals, the band of seeds, the margin."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.page.charts.marks import SERIES, arm_group, mark, series
from loraflow.page.charts.scale import Box, Scale, frame
from loraflow.page.charts.svg import (
    Point,
    drawing,
    fit,
    line,
    tag,
    told,
    way,
    width_of,
    write,
)
from loraflow.sweep.report.charts.backdrop import (
    View,
    control_line,
    control_words,
    describe,
    heights,
    margin_strip,
    note_look,
)
from loraflow.sweep.report.charts.labels import stack
from loraflow.sweep.report.charts.lines import Line, as_number, lines_of
from loraflow.sweep.report.charts.panels import draw_panels
from loraflow.sweep.report.charts.ranking import draw_ranking
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import direction, marks

_WIDTH, _HEIGHT = 860.0, 390.0
_LEFT, _TOP, _BOTTOM = 58.0, 34.0, 46.0
_NAMES = (60.0, 190.0)  # least and most room for names at the right
_BESIDE = 7.0  # units between arms of the same r


@dataclass(frozen=True)
class Quality:
    """The chart, and what stands across: a dimension, or empty for the metric itself."""

    drawing: Markup
    across: str
    seeds: str  # how the spread between seeds is drawn; empty: it is not


def draw_quality(page: RankPage) -> Quality | None:
    """Return the chart; None where nothing was compared.

    Without numbers to stand across the arms are ranked, and more lines than can be told apart
    get a small chart each.
    """
    comparison, found = page.comparison, lines_of(page)
    if comparison is None:
        return None
    has_seeds = comparison.seed_deviation is not None
    if found is None:
        return Quality(draw_ranking(page, comparison), "", "tick" if has_seeds else "")
    name, lines = found[0].name, found[1]
    if len(lines) > SERIES:
        panels = draw_panels(page, comparison, name, lines)
        return Quality(panels, name, "tick" if has_seeds else "")
    return Quality(_draw_lines(page, comparison, name, lines), name, "band" if has_seeds else "")


@dataclass(frozen=True)
class _Places:
    """Where the arms of all lines stand."""

    view: View
    name: str  # of the dimension across
    across: Scale
    shift: float  # of the last line to the right, and of the first to the left

    def __call__(self, arm: Arm, place: int) -> Point:
        x = self.across(as_number(arm.values[self.name]))
        return x + _BESIDE * place - self.shift, self.view.value(arm)


def _draw_lines(page: RankPage, comparison: Comparison, name: str, lines: Sequence[Line]) -> Markup:
    box = Box(_LEFT, _TOP, _WIDTH - _room_for_names(page, lines), _HEIGHT - _BOTTOM)
    view = View(page, comparison, box, box.up(heights(page, comparison)))
    ticks = sorted({as_number(arm.values[name]) for one in lines for arm in one.arms})
    across = box.across(ticks, log=ticks[0] > 0, marks=ticks)
    at = _Places(view, name, across, _BESIDE * (len(lines) - 1) / 2)
    numbered = list(enumerate(lines))
    parts = [
        margin_strip(view),
        frame(box, across, view.quality, names=(name, f"{page.metric}, {direction(page)}")),
        *(control_line(view, arm) for arm in view.controls),
        *(_band(at, one, place) for place, one in numbered),
        *(_way(at, one, place) for place, one in numbered),
        *(_point(at, arm, place) for place, one in numbered for arm in one.arms),
        *_names(at, lines),
    ]
    told_words = "; ".join(describe(page, comparison, arm) for arm in page.arms)
    return drawing(_WIDTH, _HEIGHT, parts, f"{page.metric} against {name}. {told_words}")


def _room_for_names(page: RankPage, lines: Sequence[Line]) -> float:
    names = [
        *(one.name for one in lines),
        *(f"{arm.name} 0.000" for arm in page.arms if arm.is_control),
    ]
    widest = max(map(width_of, names), default=0.0) + 14 + _BESIDE * len(lines)
    return min(_NAMES[1], max(_NAMES[0], widest))


def _band(at: _Places, one: Line, place: int) -> Markup:
    """Return the spread between seeds, from the lowest to the highest."""
    scores = at.view.comparison.arms
    known = [
        (at(arm, place)[0], found) for arm in one.arms if len(found := scores[arm.name].seeds) > 1
    ]
    edge = [(x, at.view.quality(max(found))) for x, found in known]
    edge += [(x, at.view.quality(min(found))) for x, found in reversed(known)]
    return tag("path", class_=f"band {series(place)}", d=f"{way(edge)}Z") if edge else Markup()


def _way(at: _Places, one: Line, place: int) -> Markup:
    points = [at(arm, place) for arm in one.arms]
    return tag("path", class_=f"line {series(place)}", d=way(points))


def _point(at: _Places, arm: Arm, place: int) -> Markup:
    view = at.view
    (x, y), value = at(arm, place), view.comparison.arms[arm.name].value
    parts = [told(describe(view.page, view.comparison, arm))]
    top, bottom = y - 9, y + 9
    if math.isfinite(value.high - value.low):
        ends = (view.quality(value.high), view.quality(value.low))
        parts.append(line((x, ends[0]), (x, ends[1]), "bar"))
        top, bottom = min(top, *ends), max(bottom, *ends)
    word = marks(view.page).get(arm.name)
    if word is not None:
        parts.append(tag("circle", class_=f"ring {note_look(word)}", cx=x, cy=y, r=9))
        beside = top - 11 if _has_words_above(at, arm) else bottom + 11
        parts.append(write(x, beside, word, anchor="middle", look=note_look(word)))
    parts.append(mark((x, y), place=place))
    return arm_group(view.number_of(arm), parts, series(place))


def _has_words_above(at: _Places, arm: Arm) -> bool:
    """Tell whether the words of an arm go above it: below stand those of a worse one.

    Where less is better it is the other way round, since the best arm is the lowest.
    """
    x, y = at(arm, 0)
    marked = [
        one for one in at.view.page.arms if one.name in marks(at.view.page) and one is not arm
    ]
    others = [at(one, 0) for one in marked if not one.is_control]
    beside = [height for place, height in others if place == x]
    if at.view.page.larger_is_better:
        return all(height >= y for height in beside)
    return any(height > y for height in beside)


def _names(at: _Places, lines: Sequence[Line]) -> Iterator[Markup]:
    """Yield the names of lines and controls, beside where they end."""
    view = at.view
    ends: list[tuple[float, str, str]] = []
    for place, one in enumerate(lines):
        if one.name:
            ends.append((view.value(one.arms[-1]), one.name, f"name {series(place)}"))
    ends += [(view.value(arm), control_words(view, arm), "") for arm in view.controls]
    spots = stack([height for height, _, _ in ends], view.box.top, view.box.bottom)
    x = view.box.right + 9 + at.shift
    for y, (_, name, look) in zip(spots, ends, strict=True):
        yield tag("g", told(name), write(x, y, fit(name, _WIDTH - x), look=look))
