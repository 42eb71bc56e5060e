"""Cost against quality: the arms that no other beats in both are joined."""

from collections.abc import Callable

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.sweep.report.charts.axes import (
    frame,
    horizontal,
    path,
    picture,
    text,
    title,
    vertical,
)
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import with_interval

_MOST_NAMES = 14  # written beside the points; the others are told when pointed at

Cost = Callable[[Arm], float]


def front(page: RankPage, comparison: Comparison, cost: Cost) -> list[Arm]:
    """Return the arms that none beats in cost and quality, the cheapest first."""
    sign = 1 if page.larger_is_better else -1
    best = float("-inf")
    found = []
    for arm in sorted(page.arms, key=lambda one: (cost(one), -sign * _value(comparison, one))):
        if sign * _value(comparison, arm) > best:
            best = sign * _value(comparison, arm)
            found.append(arm)
    return found


def draw_pareto(page: RankPage, cost: Cost, name: str, *, log: bool) -> Markup | None:
    """Return the chart of one cost; None where nothing was compared or all cost the same."""
    comparison = page.comparison
    arms = [arm for arm in page.arms if cost(arm) > 0]
    if comparison is None or len({cost(arm) for arm in arms}) < 2:  # noqa: PLR2004 - two points
        return None
    across = horizontal([cost(arm) for arm in arms], log=log)
    up = vertical([_value(comparison, arm) for arm in arms])
    best = [arm for arm in front(page, comparison, cost) if cost(arm) > 0]
    line = path([(across(cost(arm)), up(_value(comparison, arm))) for arm in best])
    parts = [
        frame(across, up, across_name=name, up_name=page.metric),
        Markup('<path class="line s0" d="{}"/>').format(line),
    ]
    for arm in arms:
        x, y = across(cost(arm)), up(_value(comparison, arm))
        look = "dot s0" if arm in best else "hollow s0"
        told = (
            f"{arm.name}: {with_interval(page, comparison.arms[arm.name].value)}, {cost(arm):,.0f}"
        )
        point = Markup('<circle class="{}" cx="{}" cy="{}" r="4.5">{}</circle>')
        parts.append(point.format(look, x, y, title(f"{told} ({name})")))
        if len(arms) <= _MOST_NAMES and arm in best:
            parts.append(text(x, y - 13, arm.name, "middle"))
    return picture(parts, f"{page.metric} against {name}; not beaten: " + _names(best))


def _value(comparison: Comparison, arm: Arm) -> float:
    return comparison.arms[arm.name].value.value


def _names(arms: list[Arm]) -> str:
    return ", ".join(arm.name for arm in arms)
