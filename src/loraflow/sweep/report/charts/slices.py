"""Slices of a space of several dimensions: the metric against each of them, all else mixed."""

import math
from collections.abc import Sequence
from statistics import median

from markupsafe import Markup

from loraflow.page.charts.marks import arm_group
from loraflow.page.charts.scale import Box, Scale, frame, is_wide
from loraflow.page.charts.svg import drawing, fit, line, tag, told, way, write
from loraflow.sweep.report.charts.backdrop import arm_numbers
from loraflow.sweep.report.charts.lines import (
    Colours,
    as_number,
    colours_of,
    is_numeric,
    write_value,
)
from loraflow.sweep.report.content import Dimension, RankPage, Trial, Value
from loraflow.sweep.report.words import direction, number

_WIDTH, _HEIGHT = 400.0, 250.0
_BOX = Box(50, 34, 390, 204)
_FEW = 12  # values up to which the median of each is drawn
_MOST_WORDS = 6  # categories whose names fit below
_HALF = 9.0  # of a median's stroke
_MANY = 2  # dimensions that the other charts show whole


def draw_slices(page: RankPage) -> list[Markup]:
    """Return a chart for each dimension; none where there are but two, and nothing was tuned.

    What has one scored value in each arm has none: its points would differ by the arm as well.
    """
    varied = [one for one in page.dimensions if len(one.values) > 1 and not one.is_scored_once]
    if len(varied) <= _MANY and all(one.is_compared for one in varied):
        return []
    trials = [one for one in page.trials if one.score is not None]
    found = [_slice(page, one, [it for it in trials if one.name in it.values]) for one in varied]
    return [chart for chart in found if chart is not None]


def _slice(page: RankPage, dimension: Dimension, trials: Sequence[Trial]) -> Markup | None:
    if not trials:
        return None
    up = _BOX.up(_score(trial) for trial in trials)
    across, places = _across(dimension)
    names = (dimension.name, f"{page.metric}, {direction(page)}")
    parts = [frame(_BOX, across, up, names=names)]
    if not is_numeric(dimension):
        parts.append(_words(dimension, across))
    by_value: dict[Value, list[float]] = {}
    for trial in trials:
        by_value.setdefault(trial.values[dimension.name], []).append(_score(trial))
    known = [(across(places[value]), up(median(found))) for value, found in by_value.items()]
    if len(by_value) <= _FEW:
        known.sort()
        parts.append(tag("path", class_="medians", d=way(known)))
        parts += [line((x - _HALF, y), (x + _HALF, y), "median") for x, y in known]
    colours, numbers = colours_of(page), arm_numbers(page)
    arms = {arm.name for arm in page.arms}
    for trial in trials:
        at = (across(places[trial.values[dimension.name]]), up(_score(trial)))
        parts.append(_point(page, trial, at, colours, numbers, is_arm=trial.arm in arms))
    label = f"{page.metric} of {len(trials)} trials against {dimension.name}"
    return drawing(_WIDTH, _HEIGHT, parts, label)


def _score(trial: Trial) -> float:
    return math.nan if trial.score is None else trial.score


def _across(dimension: Dimension) -> tuple[Scale, dict[Value, float]]:
    """Return the scale along the bottom, and where each value stands on it."""
    if is_numeric(dimension):
        places = {value: as_number(value) for value in dimension.values}
        few = sorted(places.values()) if len(places) <= _FEW else None
        return _BOX.across(places.values(), log=is_wide(list(places.values())), marks=few), places
    places = {value: float(place) for place, value in enumerate(dimension.values)}
    return Scale(-0.5, len(places) - 0.5, _BOX.left, _BOX.right, marks=()), places


def _words(dimension: Dimension, across: Scale) -> Markup:
    every = math.ceil(len(dimension.values) / _MOST_WORDS)
    room = (_BOX.right - _BOX.left) / min(len(dimension.values), _MOST_WORDS) - 6
    return Markup().join(
        tag(
            "g",
            told(write_value(value)),
            write(across(place), _BOX.bottom + 16, fit(write_value(value), room), anchor="middle"),
        )
        for place, value in enumerate(dimension.values)
        if place % every == 0
    )


def _point(
    page: RankPage,
    trial: Trial,
    at: tuple[float, float],
    colours: Colours,
    numbers: dict[str, int],
    *,
    is_arm: bool,
) -> Markup:
    look = f"spot {colours.of(trial.values)}{'' if is_arm else ' hollow'}"
    return arm_group(
        numbers[trial.arm],
        [
            told(f"{trial.name}: {number(page, _score(trial))}"),
            tag("circle", class_=look, cx=at[0], cy=at[1], r=3.4),
        ],
    )
