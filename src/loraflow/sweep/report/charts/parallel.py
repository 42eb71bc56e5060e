"""Parallel coordinates: a line a trial, through its values, its score and its cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loraflow.sweep.report.charts.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    TOP,
    WIDTH,
    Axis,
    path,
    picture,
    series,
    short,
    text,
    title,
)
from loraflow.sweep.report.content import Dimension, RankPage, Trial, Value

_EDGE = 40


@dataclass(frozen=True)
class _Pole:
    name: str
    place: Callable[[Trial], float | None]  # height of a trial
    marks: Sequence[tuple[float, str]]


def draw_parallel(page: RankPage) -> Markup | None:
    """Return the chart of all finished trials; None where there are fewer than two."""
    trials = [one for one in page.trials if one.state == "finished" and one.values]
    if len(trials) < 2:  # noqa: PLR2004 - one line compares nothing
        return None
    poles = [_of_dimension(one, trials) for one in page.dimensions if len(one.values) > 1]
    poles.append(_of_numbers("seconds", trials, lambda one: one.cost.seconds if one.cost else None))
    poles.append(_of_numbers(page.metric, trials, lambda one: one.score))
    step = (WIDTH - LEFT - _EDGE) / max(1, len(poles) - 1)
    spots = [LEFT + place * step for place in range(len(poles))]
    lines = [_line(trial, poles, spots, page) for trial in trials]
    return picture(
        [*lines, *(_pole(pole, spot) for pole, spot in zip(poles, spots, strict=True))],
        f"{len(trials)} trials through {', '.join(pole.name for pole in poles)}",
    )


def _line(trial: Trial, poles: Sequence[_Pole], spots: Sequence[float], page: RankPage) -> Markup:
    points = [
        (spot, height)
        for pole, spot in zip(poles, spots, strict=True)
        if (height := pole.place(trial)) is not None
    ]
    arms = list(dict.fromkeys(one.arm for one in page.trials))
    score = "" if trial.score is None else f": {trial.score:.3f}"
    return Markup('<path class="curve through {}" d="{}">{}</path>').format(
        series(arms.index(trial.arm)), path(points), title(f"{trial.name}{score}")
    )


def _pole(pole: _Pole, spot: float) -> Markup:
    parts = [
        Markup('<line class="pole" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            spot, spot, TOP, HEIGHT - BOTTOM
        ),
        text(spot, HEIGHT - BOTTOM + 22, pole.name, "middle", "name"),
    ]
    parts += [text(spot - 7, height, words, "end") for height, words in pole.marks]
    return Markup().join(parts)


def _of_dimension(dimension: Dimension, trials: Sequence[Trial]) -> _Pole:
    if all(_is_number(value) for value in dimension.values):
        numbers = [float(value or 0) for value in dimension.values]
        return _of_numbers(
            dimension.name,
            trials,
            lambda one: _number(one.values.get(dimension.name)),
            log=min(numbers) > 0,
            exact=True,
        )
    values = list(dimension.values)
    axis = Axis(0, max(1, len(values) - 1), HEIGHT - BOTTOM, TOP)
    return _Pole(
        dimension.name,
        lambda one: (
            axis(values.index(one.values[dimension.name]))
            if one.values.get(dimension.name) in values
            else None
        ),
        [(axis(place), str(value)[:18]) for place, value in enumerate(values)],
    )


def _of_numbers(
    name: str,
    trials: Sequence[Trial],
    value: Callable[[Trial], float | None],
    *,
    log: bool = False,
    exact: bool = False,
) -> _Pole:
    found = [one for trial in trials if (one := value(trial)) is not None]
    marks = sorted(set(found)) if exact else None
    axis = Axis(min(found, default=0), max(found, default=1), HEIGHT - BOTTOM, TOP, log, marks)

    def place(trial: Trial) -> float | None:
        number = value(trial)
        return None if number is None else axis(number)

    return _Pole(name, place, [(axis(tick), short(tick)) for tick in axis.ticks()])


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
