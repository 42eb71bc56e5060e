"""One recommendation from a comparison: the smallest arm that is as good as the best, or none."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from loraflow.compare.arms import LEVEL, POWER, Comparison

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

    Args:
        comparison: of all arms
        sizes: trainable parameters of each arm
        controls: arms in which nothing of rank r is trained; one of them is never recommended

    Raises:
        ValueError: if every arm is a control.
    """
    adapters = sorted(
        (arm for arm in comparison.arms if arm not in controls), key=sizes.__getitem__
    )
    if not adapters:
        raise ValueError("nothing but controls was compared")
    if not _is_gain(comparison, controls):
        return _no_gain(comparison, adapters, controls)
    arm = next(one for one in adapters if _is_within(comparison, one))
    unknown = [one for one in adapters[: adapters.index(arm)] if not _is_worse(comparison, one)]
    kind: Kind = "enough"
    if arm == comparison.best:
        kind = "cannot tell" if unknown else "best"
    said = _SAID[kind](comparison, arm, adapters)
    if not unknown:
        return Recommendation(kind, arm, arm, f"{said}{_one_seed(comparison)}")
    items, seeds = _needed(comparison, unknown[0])
    doubt = _doubt(comparison, unknown, items, seeds)
    return Recommendation(
        kind, arm, unknown[0], f"{said}{doubt}{_one_seed(comparison)}", items, seeds
    )


def _is_within(comparison: Comparison, arm: str) -> bool:
    return arm == comparison.best or comparison.gaps[arm].verdict in (
        "equivalent",
        "worse, within the margin",
    )


def _is_worse(comparison: Comparison, arm: str) -> bool:
    return arm != comparison.best and comparison.gaps[arm].p_holm < LEVEL


def _is_gain(comparison: Comparison, controls: Collection[str]) -> bool:
    """Tell whether some adapter is clearly better than every control."""
    return comparison.best not in controls and all(
        _is_worse(comparison, control) for control in controls
    )


def _no_gain(
    comparison: Comparison, adapters: Sequence[str], controls: Collection[str]
) -> Recommendation:
    if comparison.best in controls:
        control, best = comparison.best, f"{comparison.best} is the best arm"
    else:
        near = [one for one in controls if not _is_worse(comparison, one)]
        control = min(near, key=lambda one: abs(comparison.gaps[one].difference.mean))
        best = f"it is {_gap(comparison, control)}, which is inside the noise"
    return Recommendation(
        "no gain",
        None,
        control,
        f"No adapter is clearly better than {control}: {best}. Train longer, on more rows, or with "
        f"another learning rate before ranks are compared.{_one_seed(comparison)}",
    )


def _enough(comparison: Comparison, arm: str, adapters: Sequence[str]) -> str:
    worse = [one for one in adapters[: adapters.index(arm)] if _is_worse(comparison, one)]
    smaller = f" {_listed(worse)} {_are(worse)} clearly worse." if worse else ""
    return (
        f"{arm} is enough: it is {_gap(comparison, arm)}, and what it loses is shown to be less "
        f"than the margin of {comparison.margin:g}.{smaller}"
    )


def _best(comparison: Comparison, arm: str, adapters: Sequence[str]) -> str:
    worse = adapters[: adapters.index(arm)]
    if not worse:
        return f"{arm} is both the smallest arm and the best."
    nearest = min(worse, key=lambda one: abs(comparison.gaps[one].difference.mean))
    return (
        f"{arm} is the best, and every smaller arm is clearly worse. The nearest of them, "
        f"{nearest}, is {_gap(comparison, nearest)}."
    )


def _open(comparison: Comparison, arm: str, adapters: Sequence[str]) -> str:
    return f"This evaluation cannot tell which arm is enough. {arm} has the best number."


_SAID = {"enough": _enough, "best": _best, "cannot tell": _open}


def _doubt(
    comparison: Comparison, unknown: Sequence[str], items: int | None, seeds: int | None
) -> str:
    """Say of smaller arms that they may be as good, and what it takes to know."""
    arm = unknown[0]
    gap = comparison.gaps[arm]
    needed = " and ".join(
        [
            *([f"about {items:,} items (now {comparison.items:,})"] if items else []),
            *([f"{seeds:,} seeds (now {_seeds(comparison, arm)})"] if seeds else []),
        ]
    )
    settled = (
        f"to settle it for a margin of {comparison.margin:g} it takes {needed}"
        if needed
        else "an arm as good as the best would mostly have been shown so by these items and seeds"
    )
    also = f" (so {_are(unknown[1:])} {_listed(unknown[1:])})" if unknown[1:] else ""
    return (
        f" The smallest arm inside the noise of the best is {arm}{also}: it is "
        f"{_gap(comparison, arm)}, p={gap.p_holm:.2g} after Holm's correction. A true difference "
        f"below {gap.detectable:.2g} would go unseen; {settled}."
    )


def _needed(comparison: Comparison, arm: str) -> tuple[int | None, int | None]:
    """Return the items and the seeds of each arm that would settle an arm; None: there are enough.

    So many that an arm as good as the best is itself the best, or is shown to be within the margin,
    with a probability of 80%. More items make the part of the items smaller, more seeds that of the
    seeds. Arms not yet shown within share the level, as in Holm's correction; arms inside the noise
    share the 20%, for each may come out so far above by chance that `arm` looks worse (Bonferroni).
    """
    unsure = sum(not _is_within(comparison, one) for one in comparison.arms)
    rivals = sum(not _is_worse(comparison, one) for one in comparison.arms) - 1  # less `arm`
    quantiles = stats.norm.isf([LEVEL / unsure, (1 - POWER) / rivals])
    wanted = (comparison.margin / float(quantiles.sum())) ** 2
    spread = comparison.gaps[arm].spread
    of_items, of_seeds = spread.items + spread.answers, spread.seeds - spread.answers
    seeds = None
    if of_seeds > wanted / 2:
        share = sum(1 / len(comparison.arms[one].seeds) for one in (arm, comparison.best))
        seeds = math.ceil(2 * (of_seeds / share) / (wanted / 2))
        of_seeds = wanted / 2
    items = math.ceil(comparison.items * of_items / (wanted - of_seeds))
    return items if items > comparison.items else None, seeds


def _gap(comparison: Comparison, arm: str) -> str:
    """Say where an arm stands: 0.004 below the best, r=16 (95% interval -0.011 to 0.003)."""
    gap = comparison.gaps[arm].difference
    side = "above" if gap.mean > 0 else "below"
    return (
        f"{abs(gap.mean):.3g} {side} the best, {comparison.best} (difference in "
        f"{comparison.metric}, 95% interval {gap.low:.3g} to {gap.high:.3g})"
    )


def _seeds(comparison: Comparison, arm: str) -> int:
    return min(len(comparison.arms[one].seeds) for one in (arm, comparison.best))


def _one_seed(comparison: Comparison) -> str:
    if comparison.seed_deviation is not None:
        return ""
    return " Every arm has one seed: another training of the same settings may differ by more."


def _listed(arms: Sequence[str]) -> str:
    shown = list(arms[:_SHOWN]) + ([f"{len(arms) - _SHOWN} more"] if len(arms) > _SHOWN else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _are(arms: Sequence[str]) -> str:
    return "is" if len(arms) == 1 else "are"


_SHOWN = 3
