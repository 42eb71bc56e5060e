"""Cost against quality: the arms that no other beats in both are joined, all others hollow."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.page.charts.marks import arm_group, mark
from loraflow.page.charts.scale import Box, Scale, frame, is_wide
from loraflow.page.charts.svg import Point, drawing, fit, tag, told, way, write
from loraflow.sweep.report.charts.backdrop import (
    View,
    control_line,
    control_words,
    describe,
    heights,
    margin_strip,
    note_look,
)
from loraflow.sweep.report.charts.labels import place_beside
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import direction, marks

_WIDTH, _HEIGHT = 440.0, 340.0
_BOX = Box(46, 34, 428, 294)
_NAME = 130.0  # most room for a name
_FEWEST = 2  # arms that cost something

Cost = Callable[[Arm], float]


def front(page: RankPage, comparison: Comparison, cost: Cost) -> list[Arm]:
    """Return the arms that none beats in cost and quality, the cheapest first."""
    sign = 1 if page.larger_is_better else -1

    def quality(arm: Arm) -> float:
        return sign * comparison.arms[arm.name].value.value

    best = -math.inf
    found = []
    for arm in sorted(page.arms, key=lambda one: (cost(one), -quality(one))):
        if quality(arm) > best:
            best = quality(arm)
            found.append(arm)
    return found


def draw_pareto(page: RankPage, cost: Cost, name: str) -> Markup | None:
    """Return the chart of one cost; None where nothing was compared or all cost the same."""
    comparison = page.comparison
    if comparison is None:
        return None
    arms = [arm for arm in page.arms if cost(arm) > 0]
    costs = sorted({cost(arm) for arm in arms})
    if len(costs) < _FEWEST:
        return None
    view = View(page, comparison, _BOX, _BOX.up(heights(page, comparison)))
    across = _BOX.across(costs, log=is_wide(costs))
    best = [arm for arm in front(page, comparison, cost) if arm in arms]
    parts = [
        margin_strip(view),
        frame(_BOX, across, view.quality, names=(name, f"{page.metric}, {direction(page)}")),
        *_controls(view, cost),
        tag(
            "path",
            class_="front",
            d=_stairs([(across(cost(arm)), view.value(arm)) for arm in best]),
        ),
        *(_point(view, (across(cost(arm)), f"{cost(arm):,.0f} {name}"), arm, best) for arm in arms),
        *_names(view, across, cost, arms, best),
    ]
    words = ", ".join(arm.name for arm in best)
    return drawing(_WIDTH, _HEIGHT, parts, f"{page.metric} against {name}. Not beaten: {words}")


def _controls(view: View, cost: Cost) -> list[Markup]:
    """Return lines for the controls that cost nothing, which have no place on the axis."""
    found = []
    for arm in view.controls:
        if cost(arm) <= 0:
            found.append(control_line(view, arm))
            words = fit(f"{control_words(view, arm)} (nothing trained)", _BOX.right - _BOX.left)
            found.append(write(_BOX.right - 4, view.value(arm) - 10, words, anchor="end"))
    return found


def _stairs(points: Sequence[Point]) -> str:
    """Return the edge of what can be had: a dearer arm changes nothing before it is paid for."""
    corners = list(points[:1])
    for x, y in points[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return way(corners)


def _point(view: View, paid: tuple[float, str], arm: Arm, best: Sequence[Arm]) -> Markup:
    """Return the point of an arm; `paid` is where its cost stands, and the cost in words."""
    at = (paid[0], view.value(arm))
    beaten = "" if arm in best else ", beaten"
    parts = [told(f"{describe(view.page, view.comparison, arm)}; {paid[1]}{beaten}")]
    word = marks(view.page).get(arm.name)
    if word is not None:
        parts.append(tag("circle", class_=f"ring {note_look(word)}", cx=at[0], cy=at[1], r=9))
    parts.append(mark(at))
    return arm_group(view.number_of(arm), parts, "s0" if arm in best else "s0 hollow")


def _names(
    view: View, across: Scale, cost: Cost, arms: Sequence[Arm], best: Sequence[Arm]
) -> list[Markup]:
    """Name what the recommendation speaks of, then the front, as far as there is room."""
    marked = marks(view.page)
    named = sorted(
        (arm for arm in arms if arm in best or arm.name in marked),
        key=lambda arm: (arm.name not in marked, -view.comparison.arms[arm.name].value.value),
    )
    words = [_word(arm, marked) for arm in named]
    at = {arm.name: (across(cost(arm)), view.value(arm)) for arm in arms}
    spots = place_beside([at[arm.name] for arm in named], words, list(at.values()), _BOX)
    return [
        write(*spot[0], text, anchor=spot[1], look="name" if arm.name in marked else "")
        for arm, text, spot in zip(named, words, spots, strict=True)
        if spot is not None
    ]


def _word(arm: Arm, marked: dict[str, str]) -> str:
    name = fit(arm.name, _NAME)
    return f"{name}: {marked[arm.name]}" if arm.name in marked else name
