"""Brings MLflow runs that exist into the form of trials: what differs between them is compared."""

from collections.abc import Mapping, Sequence
from typing import Any

from loraflow.check import flatten
from loraflow.errors import UserError
from loraflow.sweep.outcome import Curve
from loraflow.sweep.pruning import LOOK
from loraflow.sweep.report import content
from loraflow.sweep.report.scores import Measured
from loraflow.sweep.space import Dimension, Value, name_values, named, read_dimensions
from loraflow.sweep.trials import BASE
from loraflow.tracking.fetch import FetchedTrial

_SEED = "train.seed"
_ELSEWHERE = (
    "store",
    "tracking",
    "model.cache",
    "data.path",
)  # where things lie, not what they are
_UNTRAINED = ("none", "head_only")


def differing(runs: Sequence[FetchedTrial]) -> list[Dimension]:
    """Return what differs between runs, seeds and places aside, as dimensions."""
    settings = [_settings(run) for run in runs if not _is_control(run)]
    keys = list(dict.fromkeys(key for one in settings for key in one))
    found: dict[str, list[Any]] = {}
    for key in keys:
        values = [one.get(key) for one in settings]
        distinct = [value for place, value in enumerate(values) if value not in values[:place]]
        if len(distinct) > 1:
            found[key] = sorted(distinct, key=_order)
    return read_dimensions(found, "runs")


def measured_runs(runs: Sequence[FetchedTrial], dimensions: Sequence[Dimension]) -> list[Measured]:
    """Return the runs as trials; the base model of the first is an arm of its own.

    Raises:
        UserError: if a run is listed twice, or two trained the same with the same seed.
    """
    trials = [_measured(run, dimensions) for run in runs]
    names = [one.trial.name for one in trials]
    if twice := next((name for name in names if names.count(name) > 1), None):
        same = [run.id for run, name in zip(runs, names, strict=True) if name == twice]
        raise UserError(
            f"RUNS has {twice!r} {len(same)} times ({', '.join(same)}): the same settings and "
            "seed; give one of them"
        )
    if any(one.trial.arm == BASE for one in trials):
        return trials
    return [_base(runs[0]), *trials]


def _measured(run: FetchedTrial, dimensions: Sequence[Dimension]) -> Measured:
    is_control = _is_control(run)
    settings = _settings(run)
    values = {} if is_control else {one.key: _value(settings, one) for one in dimensions}
    arm = _control_name(run) if is_control else name_values(values, dimensions) or run.name
    seed = int(run.settings["train"]["seed"])
    trial = content.Trial(
        name=arm if arm == BASE else f"{arm} seed={seed}",
        arm=arm,
        values=named(values, dimensions),
        seed=seed,
        state="finished",
        cost=_cost(run),
        losses=_curve(run, "train/loss"),
        validation=_curve(run, LOOK),
        url=run.url,
    )
    items = run.base_items if run.tuned_items is None else run.tuned_items
    return Measured(trial, items, _metrics(run, "evaluate"), _scale(run), is_control)


def _base(run: FetchedTrial) -> Measured:
    """Return the base model, as the run has measured it."""
    nothing = content.Cost(0.0, 0.0, 0, 0, 0.0)
    trial = content.Trial(BASE, BASE, {}, 0, "finished", cost=nothing, url=run.url)
    return Measured(trial, run.base_items, _metrics(run, "evaluate_base"), is_control=True)


def _is_control(run: FetchedTrial) -> bool:
    return run.settings["adapter"]["method"] in _UNTRAINED


def _control_name(run: FetchedTrial) -> str:
    return BASE if run.settings["adapter"]["method"] == "none" else "head only"


def _settings(run: FetchedTrial) -> dict[str, Any]:
    return {
        key: value
        for key, value in flatten(run.settings).items()
        if key != _SEED and not key.startswith(_ELSEWHERE)
    }


def _value(settings: Mapping[str, Any], dimension: Dimension) -> Value:
    value = settings.get(dimension.key)
    (one,) = read_dimensions({dimension.key: [value]}, "runs")
    return one.choices[0].value if isinstance(one.choices, tuple) else None


def _order(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (not is_number, float(value) if is_number else 0.0, str(value))


def _metrics(run: FetchedTrial, stage: str) -> dict[str, float]:
    return {
        name.removeprefix(f"{stage}/"): value
        for name, value in run.metrics.items()
        if name.startswith(f"{stage}/")
    }


def _scale(run: FetchedTrial) -> float | None:
    scale: float | None = run.metrics.get("train/scale")
    return scale


def _curve(run: FetchedTrial, name: str) -> Curve:
    return [(int(row["step"]), float(row[name])) for row in run.history if name in row]


def _cost(run: FetchedTrial) -> content.Cost:
    metrics = run.metrics
    return content.Cost(
        seconds=metrics.get("train/seconds", 0.0),
        evaluate_seconds=metrics.get("cost/evaluate_seconds", 0.0),
        tokens=int(metrics.get("train/tokens", 0)),
        trainable_parameters=int(metrics.get("train/trainable_parameters", 0)),
        peak_memory_gib=metrics.get("train/peak_memory_gib", 0.0),
        energy_joules=metrics.get("cost/energy_joules"),
    )
