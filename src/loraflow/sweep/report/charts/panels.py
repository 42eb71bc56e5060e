"""Quality against r as a small chart for each line, where one chart would hold too many."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.page.charts.marks import arm_group, mark
from loraflow.page.charts.scale import Box, Scale, short
from loraflow.page.charts.svg import drawing, fit, line, tag, told, way, width_of, write
from loraflow.sweep.report.charts.backdrop import (
    View,
    control_line,
    describe,
    heights,
    margin_strip,
    note_look,
)
from loraflow.sweep.report.charts.lines import Line, as_number
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import direction, marks

MOST = 24
_WIDTH, _COLUMNS = 860.0, 4
_LEFT, _TOP, _HEIGHT = 44.0, 40.0, 168.0
_GAP = (16.0, 66.0)  # between panels: across, down


def draw_panels(page: RankPage, comparison: Comparison, name: str, lines: Sequence[Line]) -> Markup:
    """Return the panels on one scale, those with the best arms first, the other lines behind."""
    ordered = sorted(lines, key=lambda one: _best(page, comparison, one))[:MOST]
    wide = (_WIDTH - _LEFT - _GAP[0] * (_COLUMNS - 1)) / _COLUMNS
    parts: list[Markup] = []
    for place, one in enumerate(ordered):
        left = _LEFT + (place % _COLUMNS) * (wide + _GAP[0])
        top = _TOP + place // _COLUMNS * (_HEIGHT - _TOP + _GAP[1])
        box = Box(left, top, left + wide, top + _HEIGHT - _TOP)
        view = View(page, comparison, box, box.up(heights(page, comparison)))
        parts.append(_panel(view, name, one, ordered, is_first=place % _COLUMNS == 0))
    rows = math.ceil(len(ordered) / _COLUMNS)
    height = _TOP + rows * (_HEIGHT - _TOP + _GAP[1])
    rest = len(lines) - len(ordered)
    words = f"{page.metric} ({direction(page)}) against {name}, a panel a line"
    parts.append(write(0, height - 6, words + (f"; the {rest} worst are left out" * (rest > 0))))
    return drawing(_WIDTH, height, parts, words)


def _best(page: RankPage, comparison: Comparison, one: Line) -> float:
    """Return what lines are ordered by: the value of the best arm, smaller for better ones."""
    sign = -1 if page.larger_is_better else 1
    return min(sign * comparison.arms[arm.name].value.value for arm in one.arms)


def _panel(view: View, name: str, one: Line, others: Sequence[Line], *, is_first: bool) -> Markup:
    box = view.box
    places = sorted({as_number(arm.values[name]) for each in others for arm in each.arms})
    across = box.across(places, log=places[0] > 0, marks=places)
    parts = [margin_strip(view)]
    for tick in view.quality.ticks(4):
        parts.append(line((box.left, view.quality(tick)), (box.right, view.quality(tick)), "grid"))
        if is_first:
            parts.append(write(box.left - 6, view.quality(tick), short(tick), anchor="end"))
    parts += [control_line(view, arm) for arm in view.controls]
    parts += [_line(view, name, across, each, "context") for each in others if each is not one]
    parts.append(_line(view, name, across, one, "line s0"))
    parts += [_point(view, across(as_number(arm.values[name])), arm) for arm in one.arms]
    parts.append(write(box.left, box.bottom + 14, f"{name}={short(places[0])}"))
    parts.append(write(box.right, box.bottom + 14, short(places[-1]), anchor="end"))
    return tag("g", told(one.name), *parts, *_head(view, one))


def _head(view: View, one: Line) -> list[Markup]:
    """Return what stands above a panel: its line's name, and at the right what is said of an arm.

    Beside the arm itself it would cover lines, or the next panel.
    """
    box, marked = view.box, marks(view.page)
    said = [marked[arm.name] for arm in one.arms if arm.name in marked]
    note, below = ", ".join(said), ", ".join(one.values[1:])
    height, room = box.top - (24 if below else 10), box.right - box.left
    name = fit(one.values[0], room - width_of(f"{note}  ", 13), 13)
    return [
        write(box.left, height, name, look="name"),
        write(box.left, box.top - 9, fit(below, room)),
        *(write(box.right, height, note, anchor="end", look=note_look(word)) for word in said[:1]),
    ]


def _line(view: View, name: str, across: Scale, one: Line, look: str) -> Markup:
    points = [(across(as_number(arm.values[name])), view.value(arm)) for arm in one.arms]
    return tag("path", class_=look, d=way(points))


def _point(view: View, x: float, arm: Arm) -> Markup:
    y, value = view.value(arm), view.comparison.arms[arm.name].value
    word = marks(view.page).get(arm.name)
    parts = [told(describe(view.page, view.comparison, arm))]
    if math.isfinite(value.high - value.low):
        ends = sorted((view.quality(value.low), view.quality(value.high)))
        parts.append(line((x, ends[0]), (x, ends[1]), "bar"))
    seeds = view.comparison.arms[arm.name].seeds
    if len(seeds) > 1:
        parts += [line((x - 5, at), (x + 5, at), "seed") for at in map(view.quality, seeds)]
    if word is not None:
        parts.append(tag("circle", class_=f"ring {note_look(word)}", cx=x, cy=y, r=7))
    parts.append(mark((x, y), size=2.8))
    return arm_group(view.number_of(arm), parts, "s0")
