"""Learning curves of all trials: training loss, smoothed, and the loss on rows apart."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from loraflow.sweep.report.charts.axes import (
    finite,
    frame,
    horizontal,
    path,
    picture,
    series,
    title,
    vertical,
)
from loraflow.sweep.report.content import RankPage, Trial

_SMOOTHED = 0.8  # of the value before is in the next
_ENDS = {"pruned": "M-4 0L4 0M0 -4L0 4", "failed": "M-4 -4L4 4M-4 4L4 -4"}

Curve = Sequence[tuple[int, float]]


def draw_curves(page: RankPage, *, validation: bool) -> Markup | None:
    """Return the chart of one of the two losses; None where no trial has it."""
    trials = [trial for trial in page.trials if _curve(trial, validation=validation)]
    if not trials:
        return None
    drawn = [(trial, trial.validation if validation else _smooth(trial.losses)) for trial in trials]
    across = horizontal([float(step) for _, curve in drawn for step, _ in curve])
    up = vertical(finite([loss for _, curve in drawn for _, loss in curve]))
    name = "loss on rows apart" if validation else "training loss"
    arms = list(dict.fromkeys(trial.arm for trial in page.trials))
    parts = [frame(across, up, across_name="step", up_name=name)]
    for trial, curve in drawn:
        points = [(across(step), up(loss)) for step, loss in curve if math.isfinite(loss)]
        look = f"curve {trial.state} {series(arms.index(trial.arm))}"
        told = title(f"{trial.name}: {trial.state}, last {curve[-1][1]:.3f}")
        parts.append(Markup('<path class="{}" d="{}">{}</path>').format(look, path(points), told))
        if trial.state in _ENDS and points:
            mark = Markup('<path class="end {}" d="{}" transform="translate({} {})">{}</path>')
            parts.append(mark.format(look, _ENDS[trial.state], *points[-1], told))
    return picture(parts, f"{name} of {len(trials)} trials over their steps")


def _curve(trial: Trial, *, validation: bool) -> Curve:
    return trial.validation if validation else trial.losses


def _smooth(curve: Curve) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for step, loss in curve:
        before = found[-1][1] if found else loss
        found.append((step, _SMOOTHED * before + (1 - _SMOOTHED) * loss))
    return found
