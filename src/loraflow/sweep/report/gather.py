"""Brings trials, of a sweep or of runs that exist, into the form that the rank report shows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from loraflow.compare.arms import Comparison, compare_arms
from loraflow.compare.metrics import METRICS, Item, counted
from loraflow.compare.recommend import Recommendation, recommend
from loraflow.errors import UserError
from loraflow.sweep.importance import importances
from loraflow.sweep.report.content import Arm, Dimension, RankPage, Trial
from loraflow.sweep.report.findings import find
from loraflow.sweep.trials import BASE, HEAD

_OTHERS = ("rougeL", "bleu", "chrf", "exact_match", "accuracy", "f1", "prefers_chosen", "loss")
_FEWEST_ARMS = 2


@dataclass(frozen=True)
class Measured:
    """A trial, and what it made of the held-out items; without items it did not finish."""

    trial: Trial
    items: Sequence[Item] = ()
    metrics: Mapping[str, float] | None = None  # of the evaluation
    scale: float | None = None  # of the update
    is_control: bool = False


@dataclass(frozen=True)
class Question:
    """What is asked of the trials."""

    title: str
    metric: str
    margin: float
    dimensions: Sequence[Dimension]
    facts: Sequence[tuple[str, str]] = ()


def gather(
    question: Question, measured: Sequence[Measured], chosen: Iterable[str] | None = None
) -> RankPage:
    """Return the page; `chosen` names the arms that are compared, by default all that finished.

    Raises:
        UserError: if the arms have not answered the same held-out items, or lack the metric.
    """
    finished = [one for one in measured if one.trial.state == "finished"]
    wanted = {one.trial.arm for one in finished} if chosen is None else set(chosen)
    repeats: dict[str, list[Measured]] = {}
    for one in finished:
        if one.trial.arm in wanted:
            repeats.setdefault(one.trial.arm, []).append(one)
    arms = [_arm(name, ones) for name, ones in repeats.items()]
    comparison = _compare(question, repeats)
    metric = METRICS[question.metric]
    page = RankPage(
        title=question.title,
        metric=question.metric,
        meaning=metric.meaning,
        larger_is_better=bool(metric.larger_is_better),
        dimensions=_with_importance(question.dimensions, question.metric, finished),
        arms=arms,
        trials=[_scored(one, question.metric) for one in measured],
        comparison=comparison,
        recommendation=_recommendation(comparison, arms),
        facts=question.facts,
        others=_others(repeats, question.metric),
    )
    return replace(page, findings=find(page))


def _arm(name: str, ones: Sequence[Measured]) -> Arm:
    costs = [one.trial.cost for one in ones if one.trial.cost is not None]
    return Arm(
        name,
        ones[0].trial.values,
        ones[0].scale,
        costs[0].trainable_parameters if costs else 0,
        fmean(cost.seconds for cost in costs) if costs else 0.0,
        ones[0].is_control,
    )


def _compare(question: Question, repeats: Mapping[str, Sequence[Measured]]) -> Comparison | None:
    if len(repeats) < _FEWEST_ARMS:
        return None
    items = {name: [one.items for one in ones] for name, ones in repeats.items()}
    for name, of_seeds in items.items():
        if not all(counted(METRICS[question.metric], of_seed) for of_seed in of_seeds):
            raise UserError(
                f"sweep.compare.metric={question.metric} was not measured of {name}; choose one "
                f"of {', '.join(_measured(of_seeds[0]))}"
            )
    try:
        return compare_arms(
            items, question.metric, margin=question.margin, seedless=_seedless(repeats)
        )
    except ValueError as error:
        raise UserError(
            f"the arms cannot be compared: {error}; a dimension that changes the held-out rows "
            "(data.split, or what is read) makes another evaluation"
        ) from error


def _seedless(arms: Collection[str]) -> list[str]:
    """Name the base model, which no seed touches; a classifier's has a head that one has drawn."""
    return [] if HEAD in arms else [BASE]


def _measured(items: Sequence[Item]) -> list[str]:
    return [name for name, metric in METRICS.items() if counted(metric, items)]


def _recommendation(comparison: Comparison | None, arms: Sequence[Arm]) -> Recommendation | None:
    if comparison is None or all(arm.is_control for arm in arms):
        return None
    sizes = {arm.name: float(arm.trainable_parameters) for arm in arms}
    controls = [arm.name for arm in arms if arm.is_control]
    return recommend(comparison, sizes, controls=controls)


def _scored(one: Measured, metric: str) -> Trial:
    score = (one.metrics or {}).get(metric)
    return one.trial if score is None else replace(one.trial, score=score)


def _with_importance(
    dimensions: Sequence[Dimension], metric: str, finished: Sequence[Measured]
) -> list[Dimension]:
    known = [
        (one.trial.values, one.metrics[metric])
        for one in finished
        if one.trial.values and one.metrics and metric in one.metrics
    ]
    shares = importances(known)
    return [replace(one, importance=shares.get(one.name)) for one in dimensions]


def _others(repeats: Mapping[str, Sequence[Measured]], metric: str) -> dict[str, dict[str, float]]:
    """Return further metrics of the arms, means over their seeds."""
    found: dict[str, dict[str, float]] = {}
    for name in _OTHERS:
        values: dict[str, Any] = {
            arm: [one.metrics[name] for one in ones if one.metrics and name in one.metrics]
            for arm, ones in repeats.items()
        }
        if name != metric and any(values.values()):
            found[name] = {arm: fmean(ones) for arm, ones in values.items() if ones}
    return found
