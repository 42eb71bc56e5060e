"""Reads what the trials of a sweep left in the store."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loraflow.compare.metrics import Item
from loraflow.files import ITEMS, read_json, read_lines
from loraflow.sweep import space
from loraflow.sweep.outcome import Outcome
from loraflow.sweep.report import content
from loraflow.sweep.report.scores import Measured
from loraflow.sweep.trials import Trial


def measured(
    trial: Trial, outcome: Outcome | None, dimensions: Sequence[space.Dimension]
) -> Measured:
    """Return a trial with all that is known of it; without an outcome it is waiting."""
    shown = content.Trial(
        trial.name,
        trial.arm,
        space.named(trial.values, dimensions),
        trial.seed,
        "waiting" if outcome is None or outcome.state == "paused" else outcome.state,
    )
    if outcome is None:
        return Measured(shown)
    ended: dict[str, Any] = {
        "reason": outcome.reason,
        "url": outcome.url,
        "losses": [(step, loss) for step, loss in outcome.losses],
        "validation": [(step, loss) for step, loss in outcome.validation],
    }
    if outcome.state != "finished":
        return Measured(replace(shown, **ended))
    trained = read_json(Path(outcome.trained) / "result.json")
    evaluated = read_json(Path(outcome.evaluated) / "result.json")
    return Measured(
        replace(shown, **ended, cost=_cost(trained, evaluated)),
        _items(outcome),
        evaluated["metrics"],
        trained["metrics"].get("train/scale"),
        trial.is_control,
    )


def shown_dimensions(
    dimensions: Sequence[space.Dimension], tuned: Sequence[space.Dimension], trials: Sequence[Trial]
) -> list[content.Dimension]:
    """Return the dimensions as the report has them; of a range, the values that were tried."""
    names = space.short_names(dimensions)
    return [
        content.Dimension(names[one.key], one.key, _values(one, trials), one not in tuned)
        for one in dimensions
    ]


def _values(dimension: space.Dimension, trials: Sequence[Trial]) -> list[space.Value]:
    if not isinstance(dimension.choices, space.Range):
        return [choice.value for choice in dimension.choices]
    tried = {trial.values[dimension.key] for trial in trials if dimension.key in trial.values}
    return sorted(tried, key=lambda value: float(value or 0))


def _cost(trained: dict[str, Any], evaluated: dict[str, Any]) -> content.Cost:
    counts = trained["counts"]
    return content.Cost(
        seconds=trained["seconds"],
        evaluate_seconds=evaluated["seconds"],
        tokens=counts.get("tokens", 0),
        trainable_parameters=counts["trainable_parameters"],
        peak_memory_gib=trained["peak_memory_gib"],
        energy_joules=trained.get("energy_joules"),
    )


def _items(outcome: Outcome) -> list[Item]:
    """Return what the tuned model made of the held-out rows, with the judge's ratings."""
    items = read_lines(Path(outcome.evaluated) / ITEMS)
    if not outcome.graded:
        return list(items)
    grades = {row["id"]: row for row in read_lines(Path(outcome.graded) / ITEMS)}
    return [{**item, **grades[item["id"]]} for item in items]
