"""A map of the first two dimensions that are compared: the better, the darker."""

import math
from collections.abc import Mapping

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.page.charts.marks import arm_group
from loraflow.page.charts.svg import drawing, fit, tag, told, width_of, write
from loraflow.sweep.report.charts.backdrop import arm_numbers, describe
from loraflow.sweep.report.charts.lines import compared, name_value, write_value
from loraflow.sweep.report.content import Arm, RankPage, Value
from loraflow.sweep.report.words import MISSING, marks, number

_WIDTH, _ROW, _HEAD = 860.0, 50.0, 44.0
_NAMES = (70.0, 220.0)  # least and most room for names at the left
_FULL = 74.0  # of a cell that has room for half-width and note
_LEAST = 30.0  # of a cell that has room for a number
_PALEST, _DARKEST = 0.06, 0.56  # ink stays readable on it
_TWO = 2


def draw_heatmap(page: RankPage) -> Markup | None:
    """Return the map; None where fewer than two dimensions are compared, or too many values.

    Where a third one varies too, a cell is the best arm in it.
    """
    varied = compared(page)
    if page.comparison is None or len(varied) < _TWO:
        return None
    across, down = varied[:_TWO]
    rows = [(name_value(down, value), value) for value in down.values]
    room = min(_NAMES[1], max(_NAMES[0], *(width_of(name) + 14 for name, _ in rows)))
    wide = (_WIDTH - room) / len(across.values)
    if wide < _LEAST:
        return None
    places = [room + place * wide for place in range(len(across.values))]
    parts = [write(room + (_WIDTH - room) / 2, 8, across.name, anchor="middle", look="axis")]
    for x, value in zip(places, across.values, strict=True):
        words = fit(write_value(value), wide - 4)
        parts.append(write(x + wide / 2, _HEAD - 14, words, anchor="middle"))
    for row, (name, value) in enumerate(rows):
        y = _HEAD + row * _ROW
        parts.append(
            tag("g", told(name), write(room - 10, y + _ROW / 2, fit(name, room - 12), anchor="end"))
        )
        for x, other in zip(places, across.values, strict=True):
            arm = _arm(page, page.comparison, {across.name: other, down.name: value})
            box = (x, y, wide)
            parts.append(_empty(box) if arm is None else _cell(page, page.comparison, arm, box))
    label = f"{page.metric} by {across.name} and {down.name}; the table of arms has the numbers"
    return drawing(_WIDTH, _HEAD + _ROW * len(rows) + 4, parts, label)


def _arm(page: RankPage, comparison: Comparison, wanted: Mapping[str, Value]) -> Arm | None:
    """Return the best arm of a cell."""
    found = [
        arm
        for arm in page.arms
        if all(arm.values.get(name, ...) == value for name, value in wanted.items())
    ]
    sign = 1 if page.larger_is_better else -1
    return max(found, key=lambda arm: sign * comparison.arms[arm.name].value.value, default=None)


def _empty(box: tuple[float, float, float]) -> Markup:
    x, y, wide = box
    return write(x + wide / 2, y + _ROW / 2, MISSING, anchor="middle")


def _cell(
    page: RankPage, comparison: Comparison, arm: Arm, box: tuple[float, float, float]
) -> Markup:
    x, y, wide = box
    found = comparison.arms[arm.name].value
    word = marks(page).get(arm.name, "")
    middle, is_full = x + wide / 2, wide >= _FULL
    parts = [
        told(describe(page, comparison, arm)),
        tag(
            "rect",
            class_=f"cell {word.partition(' ')[0]}" if word else "cell",
            x=x + 2.5,
            y=y + 2.5,
            width=wide - 5,
            height=_ROW - 5,
            rx=4,
            fill_opacity=_darkness(page, comparison, found.value),
        ),
        write(
            middle,
            y + _ROW / 2 - 8,
            fit(number(page, found.value), wide - 4),
            anchor="middle",
            look="value",
        ),
    ]
    half = (found.high - found.low) / 2
    small = f"±{number(page, half)}" if math.isfinite(half) else ""
    if is_full and word:
        both = f"{small} · {word}"
        small = both if width_of(both) < wide - 8 else fit(word, wide - 8)
    if is_full or width_of(small) < wide - 4:
        parts.append(write(middle, y + _ROW / 2 + 10, small, anchor="middle", look="half"))
    return arm_group(arm_numbers(page)[arm.name], parts)


def _darkness(page: RankPage, comparison: Comparison, value: float) -> str:
    values = [comparison.arms[one.name].value.value for one in page.arms if not one.is_control]
    low, high = min(values), max(values)
    share = 0.5 if high == low else (value - low) / (high - low)
    share = share if page.larger_is_better else 1 - share
    return f"{_PALEST + (_DARKEST - _PALEST) * share:.2f}"
