"""Which dimension stands across, which arms are joined by a line, and what colours mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loraflow.page.charts.marks import SERIES, ramp, series
from loraflow.sweep.report.content import Arm, Dimension, RankPage, Value

RANK = "adapter.r"


@dataclass(frozen=True)
class Line:
    """Arms that differ in nothing but the dimension across, in its order."""

    values: Sequence[str]  # the other compared ones, as names of arms have them
    arms: Sequence[Arm]

    @property
    def name(self) -> str:
        """All values; empty where there are none."""
        return ", ".join(self.values)


@dataclass(frozen=True)
class Colours:
    """The dimension that colours tell apart in charts of trials."""

    dimension: Dimension | None
    looks: Mapping[Value, str]  # class of each value

    def of(self, values: Mapping[str, Value]) -> str:
        """Return the class of a trial by its values."""
        if self.dimension is None:
            return series(0)
        return self.looks.get(values.get(self.dimension.name), "other")


def compared(page: RankPage) -> list[Dimension]:
    """Return the dimensions that make arms and vary, r first."""
    found = [one for one in page.dimensions if one.is_compared and len(one.values) > 1]
    return sorted(found, key=lambda one: one.key != RANK)


def is_numeric(dimension: Dimension) -> bool:
    """Tell whether all values are numbers, so that they have places on an axis."""
    return bool(dimension.values) and all(map(is_number, dimension.values))


def is_number(value: Value) -> bool:
    """Tell a number from a switch, a word and nothing."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_number(value: Value) -> float:
    """Return a value of a numeric dimension."""
    return float(value) if isinstance(value, int | float) else float("nan")


def lines_of(page: RankPage) -> tuple[Dimension, list[Line]] | None:
    """Return what stands across, r if it varies, and the lines over it.

    None where no compared dimension has numbers, or where no two arms differ in it alone.
    """
    varied = compared(page)
    across = next(filter(is_numeric, varied), None)
    if across is None:
        return None
    found: dict[tuple[str, ...], list[Arm]] = {}
    for arm in page.arms:
        if not arm.is_control and is_number(arm.values.get(across.name)):
            others = (name_value(one, arm.values.get(one.name)) for one in varied if one != across)
            found.setdefault(tuple(others), []).append(arm)
    if not any(len({arm.values[across.name] for arm in arms}) > 1 for arms in found.values()):
        return None
    for arms in found.values():
        arms.sort(key=lambda arm: as_number(arm.values[across.name]))
    return across, [Line(values, arms) for values, arms in found.items()]


def name_value(dimension: Dimension, value: Value) -> str:
    """Return a value as names of arms have it: words alone, numbers behind their name."""
    return value if isinstance(value, str) else f"{dimension.name}={write_value(value)}"


def write_value(value: Value) -> str:
    """Return a value as it is set."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def colours_of(page: RankPage) -> Colours:
    """Return the colours of trials: those of r, or of what else is compared first."""
    varied = compared(page) or [one for one in page.dimensions if len(one.values) > 1]
    first = next(filter(is_numeric, varied), varied[0] if varied else None)
    if first is None:
        return Colours(None, {})
    count = len(first.values)
    ordered = is_numeric(first) or count > SERIES
    return Colours(
        first,
        {
            value: ramp(place, count) if ordered else series(place)
            for place, value in enumerate(first.values)
        },
    )
