"""Decides whether a challenger takes the champion's place."""

import math
from collections.abc import Iterator, Sequence

from loraflow.compare.aggregate import difference_of, value_of
from loraflow.compare.metrics import METRICS, Item, Metric, counted
from loraflow.compare.statistics import Difference, Interval
from loraflow.config.nightly import GateConfig
from loraflow.errors import UserError, nearest
from loraflow.promote.gate.decision import BASE_MODEL, Decision, Evidence, Guard
from loraflow.promote.gate.guards import check_guards, guard_faults
from loraflow.promote.gate.pairs import has_value, same_ids
from loraflow.sweep.metric import usual_metric

_NO_DIFFERENCE = Difference(math.nan, math.nan, math.nan)


def decide(evidence: Evidence, gate: GateConfig) -> Decision:
    """Promote if the gain is above the margin with its whole 95% interval, and no guard fails.

    Raises:
        UserError: if the gate's settings have a fault, or no arm has the metric.
    """
    if faults := gate_faults(gate):
        raise UserError("\n".join(faults))
    name = gate.metric or usual_metric(evidence.task)
    metric = METRICS[name]
    champion, challenger = (
        [item for item in arm.items if has_value(metric, item)]
        for arm in (evidence.champion, evidence.challenger)
    )
    if not champion and not challenger:
        raise UserError(f"gate.metric={name} was measured of no arm; {_others(evidence)}")
    items, difference = _compare(metric, evidence.champion.items, evidence.challenger.items)
    guards = tuple(check_guards(gate.guards, evidence, name))
    reasons = list(_reasons(name, gate.margin, difference, guards))
    return Decision(
        not reasons,
        name,
        gate.margin,
        items,
        evidence.gate.frozen,
        _interval(metric, champion),
        _interval(metric, challenger),
        difference,
        evidence.reference,
        guards,
        _sentence(evidence.reference, reasons, _gain(name, difference), gate.margin),
    )


def gate_faults(gate: GateConfig) -> list[str]:
    """Return what is wrong with the section `gate`: key, value and fix of every fault."""
    faults = guard_faults(gate.guards)
    if gate.metric is None:
        return faults
    usable = [name for name, one in METRICS.items() if one.larger_is_better is not None]
    if gate.metric not in usable:
        faults.append(
            f"gate.metric={gate.metric} does not say which of two models is better"
            f"{nearest(gate.metric, usable)}; choose from {', '.join(usable)}"
        )
    return faults


def _others(evidence: Evidence) -> str:
    known = [
        name
        for name, one in METRICS.items()
        if one.larger_is_better is not None and counted(one, evidence.champion.items)
    ]
    return f"choose one of {', '.join(known)}" if known else "were the answers measured at all?"


def _interval(metric: Metric, items: Sequence[Item]) -> Interval:
    if not items:
        return Interval(math.nan, math.nan, math.nan)
    return value_of(metric, items)


def _compare(
    metric: Metric, champion: Sequence[Item], challenger: Sequence[Item]
) -> tuple[int, Difference]:
    """Return how many items were compared, and the gain; the guard `same_items` judges them."""
    if not same_ids(champion, challenger):
        return 0, _NO_DIFFERENCE
    pairs = [
        (now, before)
        for before, now in zip(champion, challenger, strict=True)
        if has_value(metric, before) and has_value(metric, now)
    ]
    if not pairs:
        return 0, _NO_DIFFERENCE
    gap = difference_of(metric, *([pair[side] for pair in pairs] for side in (0, 1)))
    if metric.larger_is_better:
        return len(pairs), gap
    return len(pairs), Difference(0 - gap.mean, 0 - gap.high, 0 - gap.low)  # 0 -: no minus zero


def _reasons(metric: str, margin: float, gap: Difference, guards: Sequence[Guard]) -> Iterator[str]:
    """Yield what speaks against the challenger; if nothing does, it is promoted."""
    if not math.isfinite(gap.low):
        yield f"the gain in {metric} cannot be told"
    elif gap.low <= margin:
        yield f"{_gain(metric, gap)} is not above {margin:g} beyond the noise"
    for guard in guards:
        if not guard.passed:
            yield f"guard {guard.name}: {guard.words}"


def _gain(metric: str, gap: Difference) -> str:
    return f"the gain in {metric}, {gap.mean:+.4g} ({gap.low:+.4g} to {gap.high:+.4g}),"


def _sentence(reference: str, reasons: Sequence[str], gain: str, margin: float) -> str:
    whom = f"the {reference}" if reference == BASE_MODEL else reference
    if reasons:
        return f"Keep {whom}: {'; '.join(reasons)}."
    return (
        f"Promote over {whom}: {gain} is above {margin:g} beyond the noise, and every guard passes."
    )
