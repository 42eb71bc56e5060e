"""The number of each trial by the metric of the comparison, from its items, or why it has none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loraflow.compare.metrics import METRICS, Item, counted
from loraflow.sweep.report.content import Trial


@dataclass(frozen=True)
class Measured:
    """A trial, and what it made of the held-out items; without items it did not finish."""

    trial: Trial
    items: Sequence[Item] = ()
    metrics: Mapping[str, float] | None = None  # of the evaluation; the judge's are not in it
    scale: float | None = None  # of the update
    is_control: bool = False


def find_unfit(finished: Sequence[Measured], metric: str) -> dict[str, str]:
    """Return, by name, why trials cannot be compared: one NaN would leave no arm a number."""
    reasons = {one.trial.name: _fault(one, metric) for one in finished}
    return {name: reason for name, reason in reasons.items() if reason}


def score_trials(
    trials: Sequence[Measured], compared: Sequence[Measured], metric: str
) -> dict[str, float]:
    """Return scores by name of the trial, over the items that all compared ones have.

    So the trials of an arm have the numbers of its seeds in the comparison.
    """
    measure, among = METRICS[metric], compared or trials
    ids = [{item["id"] for item in _counted(one, metric)} for one in among]
    shared = set.intersection(*ids) if ids else set()
    found = {}
    for one in trials:
        items = [item for item in _counted(one, metric) if item["id"] in shared]
        if items:
            found[one.trial.name] = float(measure.value(measure.of(items).sum(axis=0)))
    return found


def _counted(one: Measured, metric: str) -> list[Item]:
    return [one.items[place] for place in counted(METRICS[metric], one.items)]


def _fault(one: Measured, metric: str) -> str:
    measure, items = METRICS[metric], _counted(one, metric)
    if not items:
        return f"{metric} was not measured"
    rows = measure.of(items)
    with np.errstate(invalid="ignore", over="ignore"):
        value = float(measure.value(rows.sum(axis=0)))
    lost = int((~np.isfinite(rows).all(axis=1)).sum())
    if not lost and np.isfinite(value):
        return ""
    return f"{metric} is {value:g} ({lost} of {len(items)} held-out items without a number)"
