"""All arms in a row below each other, the best first: for arms that no number tells apart."""

import math

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.page.charts.marks import arm_group, mark
from loraflow.page.charts.scale import Box, Scale, short
from loraflow.page.charts.svg import drawing, fit, line, tag, told, width_of, write
from loraflow.sweep.report.charts.backdrop import (
    View,
    control_line,
    control_words,
    describe,
    heights,
    margin_strip,
    note_look,
)
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import by_quality, direction, marks

_WIDTH, _ROW, _TOP, _BOTTOM = 860.0, 27.0, 8.0, 42.0
_NAMES = (90.0, 270.0)  # least and most room for names at the left
_NOTES = 100.0  # room for "may be enough" at the right
MOST = 40


def draw_ranking(page: RankPage, comparison: Comparison) -> Markup:
    """Return the chart of the best arms, with the controls and what the recommendation names."""
    arms = by_quality(page, comparison)
    always = {*marks(page), *(arm.name for arm in arms if arm.is_control)}
    shown = [arm for place, arm in enumerate(arms) if place < MOST or arm.name in always]
    room = (
        max(width_of(f"{arm.name} ← 0.000" if arm.is_control else arm.name) for arm in shown) + 16
    )
    height = _TOP + _ROW * len(shown)
    box = Box(min(_NAMES[1], max(_NAMES[0], room)), _TOP, _WIDTH - _NOTES, height)
    low, high = _ends(page, comparison)
    view = View(page, comparison, box, Scale(low, high, box.left, box.right))
    name = f"{page.metric}, {direction(page)}"
    left_out = (
        f"; {len(arms) - len(shown)} more are in the tables" if len(shown) < len(arms) else ""
    )
    parts = [
        margin_strip(view, upright=True),
        *(_tick(view, tick) for tick in view.quality.ticks(8)),
        *(control_line(view, arm, upright=True) for arm in view.controls),
        *(_row(view, arm, _TOP + _ROW * (place + 0.5)) for place, arm in enumerate(shown)),
        write(
            (box.left + box.right) / 2, height + 34, name + left_out, anchor="middle", look="axis"
        ),
    ]
    words = "; ".join(describe(page, comparison, arm) for arm in shown)
    return drawing(_WIDTH, height + _BOTTOM, parts, f"{page.metric} of {len(shown)} arms. {words}")


def _ends(page: RankPage, comparison: Comparison) -> tuple[float, float]:
    found = heights(page, comparison)
    room = 0.04 * (max(found) - min(found)) or 1.0
    return min(found) - room, max(found) + room


def _tick(view: View, tick: float) -> Markup:
    at, box = view.quality(tick), view.box
    return line((at, box.top), (at, box.bottom), "grid") + write(
        at, box.bottom + 15, short(tick), anchor="middle"
    )


def _row(view: View, arm: Arm, y: float) -> Markup:
    box, score = view.box, view.comparison.arms[arm.name]
    word = marks(view.page).get(arm.name)
    name = control_words(view, arm) if arm.is_control else arm.name
    parts = [
        told(describe(view.page, view.comparison, arm)),
        tag("rect", class_="hit", x=0, y=y - _ROW / 2, width=_WIDTH, height=_ROW),
        write(box.left - 10, y, fit(name, box.left - 14), anchor="end", look="name"),
    ]
    if math.isfinite(score.value.high - score.value.low):
        ends = sorted((view.quality(score.value.low), view.quality(score.value.high)))
        parts.append(line((ends[0], y), (ends[1], y), "bar"))
    if len(score.seeds) > 1:
        parts += [line((x, y - 6), (x, y + 6), "seed") for x in map(view.quality, score.seeds)]
    if word is not None:
        parts.append(write(box.right + 8, y, word, look=note_look(word)))
    at = (view.value(arm), y)
    if word is not None:
        parts.append(tag("circle", class_=f"ring {note_look(word)}", cx=at[0], cy=y, r=9))
    parts.append(mark(at, place=3 if arm.is_control else 0))
    return arm_group(view.number_of(arm), parts, "s5" if arm.is_control else "s0")
