"""Learning curves of all trials: training loss, thin and smoothed, and the loss on rows apart."""

import math
from collections.abc import Sequence
from statistics import fmean

from markupsafe import Markup

from loraflow.page.charts.marks import MANY, arm_group
from loraflow.page.charts.scale import Box, Scale, finite, frame
from loraflow.page.charts.svg import Point, drawing, fit, tag, told, way, write
from loraflow.sweep.report.charts.backdrop import arm_numbers
from loraflow.sweep.report.charts.labels import stack
from loraflow.sweep.report.charts.lines import Colours, colours_of, name_value
from loraflow.sweep.report.content import RankPage, Trial

_WIDTH, _HEIGHT = 860.0, 360.0
_BOX = Box(52, 34, 740, 312)
_SMOOTHED = 0.06  # share of the steps, on each side, that a mean is taken over
_MOST_POINTS = 120  # of a curve: more are closer than a pixel is wide
_MOST_RAW = 24  # trials whose every step is drawn as well
_ENDS = {"pruned": "M-5 0H5M0 -5V5", "failed": "M-4.5 -4.5L4.5 4.5M-4.5 4.5L4.5 -4.5"}
_DIVERGED = 1.25  # times the highest loss of trials that did not fail: higher is cut off
_UNITS = {  # of a loss, by task; that of pairs depends on train.preference.loss_type
    "sft": "nats a token",
    "text": "nats a token",
    "preference": "mean over pairs",
    "classify": "nats a row",
}

Curve = Sequence[tuple[int, float]]


def draw_curves(page: RankPage, *, validation: bool) -> Markup | None:
    """Return the chart of one of the two losses; None where no trial has it."""
    drawn = [
        (trial, curve, smooth)
        for trial in page.trials
        if (curve := _thinned(_known(trial.validation if validation else trial.losses)))
        for smooth in [curve if validation else _smooth(curve)]
    ]
    if not drawn:
        return None
    across = _BOX.across(float(step) for _, curve, _ in drawn for step, _ in curve)
    is_raw = not validation and draws_every_step(page)
    up = _BOX.up(_heights([(one, raw if is_raw else smooth) for one, raw, smooth in drawn]))
    name = "loss on rows apart" if validation else "training loss"
    colours, numbers = colours_of(page), arm_numbers(page)
    parts = [frame(_BOX, across, up, names=("step", f"{name}, {_UNITS[page.task]}"))]
    for trial, curve, smooth in drawn:
        raw = way(_placed(curve, across, up)) if is_raw else ""
        parts.append(
            _trial(
                trial,
                _placed(smooth, across, up),
                raw=raw,
                colours=colours,
                numbers=numbers,
                many=len(drawn) > MANY,
            )
        )
    parts += _names([(trial, smooth[-1][1]) for trial, _, smooth in drawn], up, colours)
    return drawing(_WIDTH, _HEIGHT, parts, f"{name} of {len(drawn)} trials over their steps")


def draws_every_step(page: RankPage) -> bool:
    """Tell whether there are few enough trials to draw what was smoothed."""
    return sum(bool(trial.losses) for trial in page.trials) <= _MOST_RAW


def _known(curve: Curve) -> Curve:
    return [(step, loss) for step, loss in curve if math.isfinite(loss)]


def _thinned(curve: Curve) -> Curve:
    every = math.ceil(len(curve) / _MOST_POINTS) or 1
    return [*curve[:-1:every], curve[-1]] if curve else []


def _smooth(curve: Curve) -> Curve:
    """Return means over as many steps before as behind, which lag nowhere behind the loss."""
    losses = [loss for _, loss in curve]
    found = []
    for place, (step, _) in enumerate(curve):
        reach = min(place, len(curve) - 1 - place, math.ceil(_SMOOTHED * len(curve)))
        found.append((step, fmean(losses[place - reach : place + reach + 1])))
    return found


def _heights(drawn: Sequence[tuple[Trial, Curve]]) -> list[float]:
    """Return the losses that need room: one that diverged must not flatten all others."""
    sound = [loss for trial, curve in drawn if trial.state != "failed" for _, loss in curve]
    every = [loss for _, curve in drawn for _, loss in curve]
    top = _DIVERGED * max(sound) if sound else math.inf
    return finite(min(loss, top) for loss in every)


def _placed(curve: Curve, across: Scale, up: Scale) -> list[Point]:
    return [(across(step), up(loss)) for step, loss in curve]


def _trial(
    trial: Trial,
    points: Sequence[Point],
    *,
    raw: str,
    colours: Colours,
    numbers: dict[str, int],
    many: bool,
) -> Markup:
    look = f"{trial.state} {colours.of(trial.values)}"
    reason = f", {trial.reason}" if trial.reason else ""
    parts = [told(f"{trial.name}: {trial.state}{reason}")]
    if raw:
        parts.append(tag("path", class_=f"raw {look}", d=raw))
    if not many:
        parts.append(tag("path", class_="reach", d=way(points)))
    parts.append(tag("path", class_=f"curve {look}{' many' if many else ''}", d=way(points)))
    (x, y), end = points[-1], _ENDS.get(trial.state)
    if end is not None:
        parts.append(tag("path", class_=f"end {look}", d=end, transform=f"translate({x:g} {y:g})"))
    elif len(points) == 1:
        parts.append(tag("circle", class_=f"dot {look}", cx=x, cy=y, r=3))
    return arm_group(numbers[trial.arm], parts)


def _names(last: Sequence[tuple[Trial, float]], up: Scale, colours: Colours) -> list[Markup]:
    """Return what each colour means, beside the height where its curves end on average."""
    dimension = colours.dimension
    if dimension is None:
        return []
    ends = []
    for value in dimension.values:
        found = [loss for trial, loss in last if trial.values.get(dimension.name) == value]
        if found:
            ends.append((up(sum(found) / len(found)), name_value(dimension, value), value))
    spots = stack([height for height, _, _ in ends], _BOX.top, _BOX.bottom)
    x = _BOX.right + 12
    return [
        tag(
            "g",
            told(name),
            tag("path", class_=f"swatch {colours.looks[value]}", d=f"M{x} {y:.1f}h16"),
            write(x + 22, y, fit(name, _WIDTH - x - 24)),
        )
        for y, (_, name, value) in zip(spots, ends, strict=True)
    ]
