"""Brings trials, of a sweep or of runs that exist, into the form that the rank report shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from loraflow.compare.arms import Comparison, compare_arms
from loraflow.compare.metrics import METRICS, counted
from loraflow.compare.recommend import Recommendation, recommend
from loraflow.errors import UserError
from loraflow.sweep.importance import importances
from loraflow.sweep.report.content import Arm, Dimension, RankPage, Trial, Value
from loraflow.sweep.report.findings import find
from loraflow.sweep.report.scores import Measured, find_unfit, score_trials
from loraflow.sweep.trials import BASE

_OTHERS = ("rougeL", "bleu", "chrf", "exact_match", "accuracy", "f1", "prefers_chosen", "loss")
_FEWEST_ARMS = 2


@dataclass(frozen=True)
class Question:
    """What is asked of the trials."""

    title: str
    metric: str
    margin: float
    task: str
    dimensions: Sequence[Dimension]
    facts: Sequence[tuple[str, str]] = ()


def gather(
    question: Question, measured: Sequence[Measured], chosen: Iterable[str] | None = None
) -> RankPage:
    """Return the page; `chosen` names the arms that are compared, by default all that finished.

    A trial that has no number by the metric is left out, and the page says why.

    Raises:
        UserError: if the arms have not answered the same held-out items, or all lack the metric.
    """
    finished = [one for one in measured if one.trial.state == "finished"]
    _require_metric(finished, question.metric)
    unfit = find_unfit(finished, question.metric)
    fit = [one for one in finished if one.trial.name not in unfit]
    wanted = {one.trial.arm for one in fit} if chosen is None else set(chosen)
    compared = [one for one in fit if one.trial.arm in wanted]
    repeats: dict[str, list[Measured]] = {}
    for one in compared:
        repeats.setdefault(one.trial.arm, []).append(one)
    arms = [_arm(name, ones) for name, ones in repeats.items()]
    smaller_first = sorted(arms, key=lambda arm: arm.trainable_parameters)
    comparison = _compare(question, {arm.name: repeats[arm.name] for arm in smaller_first})
    scores = score_trials(fit, compared, question.metric)
    trials = [_scored(one.trial, scores, unfit) for one in measured]
    metric = METRICS[question.metric]
    page = RankPage(
        title=question.title,
        metric=question.metric,
        meaning=metric.meaning,
        larger_is_better=bool(metric.larger_is_better),
        task=question.task,
        dimensions=_with_importance(question.dimensions, trials),
        arms=arms,
        trials=trials,
        comparison=comparison,
        recommendation=_recommendation(comparison, arms),
        facts=question.facts,
        others=_others(repeats, question.metric),
    )
    return replace(page, findings=find(page))


def _require_metric(finished: Sequence[Measured], metric: str) -> None:
    if finished and not any(counted(METRICS[metric], one.items) for one in finished):
        items = finished[0].items
        raise UserError(
            f"sweep.compare.metric={metric} was not measured of any arm; choose one "
            f"of {', '.join(name for name, one in METRICS.items() if counted(one, items))}"
        )


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
    try:
        return compare_arms(
            items, question.metric, margin=question.margin, seedless=_seedless(question.task)
        )
    except ValueError as error:
        raise UserError(
            f"the arms cannot be compared: {error}; a dimension that changes the held-out rows "
            "(data.split, or what is read) makes another evaluation"
        ) from error


def _seedless(task: str) -> list[str]:
    """Name the base model, which no seed touches; a classifier's has a head that one has drawn."""
    return [] if task == "classify" else [BASE]


def _recommendation(comparison: Comparison | None, arms: Sequence[Arm]) -> Recommendation | None:
    if comparison is None or all(arm.is_control for arm in arms):
        return None
    sizes = {arm.name: float(arm.trainable_parameters) for arm in arms}
    controls = [arm.name for arm in arms if arm.is_control]
    return recommend(comparison, sizes, controls=controls)


def _scored(trial: Trial, scores: Mapping[str, float], unfit: Mapping[str, str]) -> Trial:
    reason = unfit.get(trial.name, trial.reason)
    return replace(trial, score=scores.get(trial.name), reason=reason)


def _with_importance(dimensions: Sequence[Dimension], trials: Sequence[Trial]) -> list[Dimension]:
    """Return the dimensions with their shares of the variation between trials.

    What is tuned and has one scored value in each arm, as after pruning, differs only with the
    arm: no share of it could be told from that of what is compared.
    """
    scored = [(one.values, one.score) for one in trials if one.values and one.score is not None]
    compared = [one.name for one in dimensions if one.is_compared]
    once = {
        one.name
        for one in dimensions
        if not one.is_compared and _is_scored_once(one.name, compared, [it for it, _ in scored])
    }
    known = [
        ({name: value for name, value in values.items() if name not in once}, score)
        for values, score in scored
    ]
    shares = importances(known)
    return [
        replace(one, importance=shares.get(one.name), is_scored_once=one.name in once)
        for one in dimensions
    ]


def _is_scored_once(
    tuned: str, compared: Sequence[str], scored: Sequence[Mapping[str, Value]]
) -> bool:
    found: dict[tuple[Value, ...], set[Value]] = {}
    for values in scored:
        arm = tuple(values.get(name) for name in compared)
        found.setdefault(arm, set()).add(values.get(tuned))
    return all(len(tried) == 1 for tried in found.values())


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
