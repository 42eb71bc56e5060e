"""One recommendation from a comparison: the smallest arm that is as good as the best, or none."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from loraflow.compare.arms import Comparison
from loraflow.compare.needed import needed

Kind = Literal["enough", "best", "cannot tell", "no gain"]


@dataclass(frozen=True)
class Recommendation:
    """What to use, and the evidence in words."""

    kind: Kind
    arm: str | None  # the smallest that is shown to be within the margin of the best
    inside_noise: str  # the smallest that is not clearly worse than the best
    sentence: str
    items_needed: int | None = None  # to tell `inside_noise` from the best. None: there are enough
    seeds_needed: int | None = None


def recommend(
    comparison: Comparison, sizes: Mapping[str, float], *, controls: Collection[str] = ()
) -> Recommendation:
    """Recommend the smallest arm that is shown to lose less than the margin against the best.

    Of arms of one size it is the one nearest to the best.

    Args:
        comparison: of all arms
        sizes: trainable parameters of each arm
        controls: arms in which nothing of rank r is trained; one of them is never recommended

    Raises:
        ValueError: if every arm is a control.
    """
    there = [arm for arm in comparison.arms if arm not in controls]
    if not there:
        raise ValueError("nothing but controls was compared")
    if not _is_gain(comparison, there, controls):
        return _no_gain(comparison, there, controls)
    adapters = sorted(there, key=lambda one: (sizes[one], _distance(comparison, one)))
    arm = next(one for one in adapters if _is_within(comparison, one))
    smaller = [one for one in adapters if sizes[one] < sizes[arm]]
    unknown = [one for one in smaller if not _is_worse(comparison, one)]
    kind: Kind = "enough"
    if arm == comparison.best:
        kind = "cannot tell" if unknown else "best"
    limits = f"{_no_control(controls)}{_few_seeds(comparison)}"
    said = _SAID[kind](comparison, arm, [one for one in smaller if one not in unknown])
    if not unknown:
        return Recommendation(kind, arm, arm, f"{said}{limits}")
    items, seeds = needed(comparison, unknown[0])
    doubt = _doubt(comparison, unknown, items, seeds)
    return Recommendation(kind, arm, unknown[0], f"{said}{doubt}{limits}", items, seeds)


def _distance(comparison: Comparison, arm: str) -> float:
    return 0.0 if arm == comparison.best else abs(comparison.gaps[arm].difference.mean)


def _is_within(comparison: Comparison, arm: str) -> bool:
    return arm == comparison.best or comparison.gaps[arm].is_within


def _is_worse(comparison: Comparison, arm: str) -> bool:
    return (comparison.best, arm) in comparison.clear


def _is_gain(comparison: Comparison, adapters: Collection[str], controls: Collection[str]) -> bool:
    """Tell whether some adapter, not the best one necessarily, is clearly better than controls."""
    return any(
        all((adapter, control) in comparison.clear for control in controls) for adapter in adapters
    )


def _no_gain(
    comparison: Comparison, adapters: Collection[str], controls: Collection[str]
) -> Recommendation:
    if comparison.best in controls:
        control, said = comparison.best, f"{comparison.best} is the best arm"
    else:
        near = [one for one in controls if not _is_worse(comparison, one)]
        control = min(near, key=lambda one: _distance(comparison, one))
        said = f"it is {_gap(comparison, control)}, which is inside the noise"
    return Recommendation(
        "no gain",
        None,
        control,
        f"No adapter is clearly better than {control}: {said}. Train longer, on more rows, or with "
        f"another learning rate before ranks are compared.{_few_seeds(comparison)}",
    )


def _enough(comparison: Comparison, arm: str, worse: Sequence[str]) -> str:
    smaller = f" {_listed(worse)} {_are(worse)} clearly worse." if worse else ""
    return (
        f"{arm} is enough: it is {_gap(comparison, arm)}, and what it loses is shown to be less "
        f"than the margin of {comparison.margin:g}.{smaller}"
    )


def _best(comparison: Comparison, arm: str, worse: Sequence[str]) -> str:
    if not worse:
        return f"{arm} is the best, and no arm is smaller."
    nearest = min(worse, key=lambda one: _distance(comparison, one))
    return (
        f"{arm} is the best, and every smaller arm is clearly worse. The nearest of them, "
        f"{nearest}, is {_gap(comparison, nearest)}."
    )


def _open(comparison: Comparison, arm: str, worse: Sequence[str]) -> str:
    return f"This evaluation cannot tell which arm is enough. {arm} has the best number."


_SAID = {"enough": _enough, "best": _best, "cannot tell": _open}


def _doubt(
    comparison: Comparison, unknown: Sequence[str], items: int | None, seeds: int | None
) -> str:
    """Say of smaller arms that they may be as good, and what it takes to know."""
    arm = unknown[0]
    gap = comparison.gaps[arm]
    takes = " and ".join(
        [
            *([f"about {items:,} items (now {comparison.items:,})"] if items else []),
            *([f"{seeds:,} seeds (now {_seeds(comparison, arm)})"] if seeds else []),
        ]
    )
    settled = (
        f"to settle it for a margin of {comparison.margin:g} it takes {takes}"
        if takes
        else "an arm as good as the best would mostly have been shown so by these items and seeds"
    )
    also = f" (so {_are(unknown[1:])} {_listed(unknown[1:])})" if unknown[1:] else ""
    return (
        f" The smallest arm inside the noise of the best is {arm}{also}: it is "
        f"{_gap(comparison, arm)}, p={gap.p_holm:.2g} after Holm's correction. A true difference "
        f"below {gap.detectable:.2g} would go unseen; {settled}."
    )


def _gap(comparison: Comparison, arm: str) -> str:
    """Say where an arm stands: 0.004 below the best, r=16 (95% interval -0.011 to 0.003)."""
    gap = comparison.gaps[arm].difference
    side = "above" if gap.mean > 0 else "below"
    where = f"{abs(gap.mean):.3g} {side}" if gap.mean else "equal to"
    return (
        f"{where} the best, {comparison.best} (difference in "
        f"{comparison.metric}, 95% interval {gap.low:.3g} to {gap.high:.3g})"
    )


def _seeds(comparison: Comparison, arm: str) -> int:
    return min(len(comparison.arms[one].seeds) for one in (arm, comparison.best))


def _no_control(controls: Collection[str]) -> str:
    if controls:
        return ""
    return " The base model is not among the arms: that it gains anything by training is not shown."


def _few_seeds(comparison: Comparison) -> str:
    if comparison.seed_deviation is None:
        return " Every arm has one seed: another training of the same settings may differ by more."
    return ""


def _listed(arms: Sequence[str]) -> str:
    shown = list(arms[:_SHOWN]) + ([f"{len(arms) - _SHOWN} more"] if len(arms) > _SHOWN else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _are(arms: Sequence[str]) -> str:
    return "is" if len(arms) == 1 else "are"


_SHOWN = 3
