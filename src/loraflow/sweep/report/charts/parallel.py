"""Parallel coordinates: a line a trial, through its values, its cost and its score."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from loraflow.page.charts.marks import MANY, arm_group
from loraflow.page.charts.scale import Scale, finite, is_wide, short
from loraflow.page.charts.svg import drawing, fit, line, tag, told, write
from loraflow.sweep.report.charts.backdrop import arm_numbers
from loraflow.sweep.report.charts.lines import (
    Colours,
    as_number,
    colours_of,
    is_numeric,
    write_value,
)
from loraflow.sweep.report.content import Dimension, RankPage, Trial, Value
from loraflow.sweep.report.words import number

_WIDTH, _HEIGHT = 860.0, 380.0
_TOP, _BOTTOM, _EDGE = 22.0, 330.0, 78.0
_SPREAD = 9.0  # half of the room that trials of one value share, so that lines can be followed
_DISTINCT = 12  # values up to which a pole has a place for each
_BEND = 0.45  # of the way between two poles
_FEWEST = 2

Height = Callable[[Trial], float | None]


@dataclass(frozen=True)
class _Pole:
    name: str
    height: Height  # of a trial
    ticks: Sequence[tuple[float, str]]


def draw_parallel(page: RankPage) -> Markup | None:
    """Return the chart of all finished trials; None where there are fewer than two.

    The better ones are drawn last and stand higher, also where less is better.
    """
    trials = [one for one in page.trials if one.values and one.score is not None]
    if len(trials) < _FEWEST:
        return None
    trials.sort(key=lambda one: one.score or 0.0, reverse=not page.larger_is_better)
    poles = [_of_dimension(one, trials) for one in page.dimensions if len(one.values) > 1]
    poles.append(_of_numbers("seconds", trials, lambda one: one.cost.seconds if one.cost else None))
    poles.append(
        _of_numbers(page.metric, trials, lambda one: one.score, is_down=not page.larger_is_better)
    )
    step = (_WIDTH - 2 * _EDGE) / max(1, len(poles) - 1)
    spots = [_EDGE + place * step for place in range(len(poles))]
    colours = colours_of(page)
    many = len(trials) > MANY
    lines = [_line(trial, poles, spots, page=page, colours=colours, many=many) for trial in trials]
    room = min(step - 16, 170)
    drawn = [_pole(pole, x, room) for pole, x in zip(poles, spots, strict=True)]
    names = ", ".join(pole.name for pole in poles)
    return drawing(_WIDTH, _HEIGHT, [*lines, *drawn], f"{len(trials)} trials through {names}")


def _line(
    trial: Trial,
    poles: Sequence[_Pole],
    spots: Sequence[float],
    *,
    page: RankPage,
    colours: Colours,
    many: bool,
) -> Markup:
    points = [
        (x, height)
        for pole, x in zip(poles, spots, strict=True)
        if (height := pole.height(trial)) is not None
    ]
    score = number(page, math.nan if trial.score is None else trial.score)
    seconds = f", {trial.cost.seconds:,.0f} s" if trial.cost else ""
    look = f"curve {colours.of(trial.values)}{' many' if many else ''}"
    d = _bent(points)
    reach = [] if many else [tag("path", class_="reach", d=d)]
    return arm_group(
        arm_numbers(page)[trial.arm],
        [
            told(f"{trial.name}: {page.metric} {score}{seconds}"),
            *reach,
            tag("path", class_=look, d=d),
        ],
    )


def _bent(points: Sequence[tuple[float, float]]) -> str:
    """Return a smooth way through points, level at each: it can be followed through a crossing."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"] if points else []
    for (x, y), (next_x, next_y) in pairwise(points):
        bend = _BEND * (next_x - x)
        parts.append(f"C{x + bend:.1f} {y:.1f} {next_x - bend:.1f} {next_y:.1f}")
        parts.append(f" {next_x:.1f} {next_y:.1f}")
    return "".join(parts)


def _pole(pole: _Pole, x: float, room: float) -> Markup:
    parts = [
        line((x, _TOP), (x, _BOTTOM), "pole"),
        write(x, _BOTTOM + 28, fit(pole.name, room + 16), anchor="middle", look="name"),
    ]
    for height, words in pole.ticks:
        shown = fit(words, room / 2 + 30)
        parts.append(tag("g", told(words), write(x - 9, height, shown, anchor="end", look="tick")))
    return Markup().join(parts)


def _of_dimension(dimension: Dimension, trials: Sequence[Trial]) -> _Pole:
    if is_numeric(dimension) and len(dimension.values) > _DISTINCT:
        return _of_numbers(
            dimension.name,
            trials,
            lambda one: as_number(one.values.get(dimension.name)),
        )
    values = list(dimension.values)
    scale = Scale(0, max(1, len(values) - 1), _BOTTOM - _SPREAD, _TOP + _SPREAD)
    apart = _spread(dimension.name, trials)
    reach = min(_SPREAD, (_BOTTOM - _TOP) / (3 * len(values)))

    def height(trial: Trial) -> float | None:
        value = trial.values.get(dimension.name)
        if value not in values:
            return None
        return scale(values.index(value)) - reach * apart[trial.name]

    ticks = [(scale(place), write_value(value)) for place, value in enumerate(values)]
    return _Pole(dimension.name, height, _every(ticks))


def _spread(name: str, trials: Sequence[Trial]) -> dict[str, float]:
    """Return the place of each trial among those of the same value, -1 to 1, in their order."""
    groups: dict[Value, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.values.get(name), []).append(trial)
    return {
        trial.name: 2 * place / (len(group) - 1) - 1 if len(group) > 1 else 0.0
        for group in groups.values()
        for place, trial in enumerate(group)
    }


def _every(ticks: Sequence[tuple[float, str]]) -> Sequence[tuple[float, str]]:
    """Thin out words that would touch."""
    most = int((_BOTTOM - _TOP) / 15)
    return ticks[:: math.ceil(len(ticks) / most)]


def _of_numbers(
    name: str, trials: Sequence[Trial], value: Height, *, is_down: bool = False
) -> _Pole:
    found = finite(one for trial in trials if (one := value(trial)) is not None)
    low, high = min(found, default=0.0), max(found, default=1.0)
    start, end = (_TOP, _BOTTOM) if is_down else (_BOTTOM, _TOP)
    scale = Scale(low, high, start, end, is_wide(found))

    def height(trial: Trial) -> float | None:
        known = value(trial)
        return None if known is None or not math.isfinite(known) else scale(known)

    return _Pole(name, height, [(scale(tick), short(tick)) for tick in scale.ticks()])
