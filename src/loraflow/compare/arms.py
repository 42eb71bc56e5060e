"""Many arms on the same items, each trained with several seeds: which is best, how surely."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

from loraflow.compare.metrics import METRICS, Item, Metric, counted
from loraflow.compare.statistics import CONFIDENCE, Array, Difference, Interval
from loraflow.compare.variance import Noise, Spread, estimate_noise

Verdict = Literal["worse", "worse, within the margin", "equivalent", "cannot tell"]

LEVEL = 1 - CONFIDENCE
POWER = 0.8
_FEWEST = 2  # arms, and items: one has no spread


@dataclass(frozen=True)
class ArmScore:
    """The number of an arm, the mean over its seeds."""

    value: Interval
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Gap:
    """What separates an arm from the best one."""

    difference: Difference  # arm minus best, in the metric's units
    p: float  # two-sided
    p_holm: float  # after Holm's correction over all pairs of arms
    detectable: float  # smallest true difference that is found, so corrected, in 80 of 100 cases
    verdict: Verdict
    spread: Spread


@dataclass(frozen=True)
class Comparison:
    """All arms, and the gap of each to the best."""

    metric: str
    margin: float  # a smaller loss of quality is none
    items: int  # that every arm has answered
    arms: Mapping[str, ArmScore]
    seed_deviation: float | None  # between trainings that differ in the seed; None: one seed each
    best: str
    gaps: Mapping[str, Gap]  # of every arm but the best


def compare_arms(
    arms: Mapping[str, Sequence[Sequence[Item]]],
    metric: str,
    *,
    margin: float,
    seedless: Collection[str] = (),
) -> Comparison:
    """Compare arms, each a list of items for every seed, by a metric.

    `seedless` names arms that would be the same with any seed, such as the base model.

    Holm's correction (1979) runs over all pairs, though only those with the best are shown: the
    best was picked by looking at the same numbers, so every pair had its chance to be shown.
    Correcting for the shown pairs alone calls equal arms worse too often. That an arm loses less
    than the margin is corrected over all arms but the best: whoever picks the smallest of many that
    are shown so would find a wrong one too often.

    Raises:
        ValueError: for fewer than two arms or items, an arm without a training, items that differ
            between arms, or a metric that has no value or does not say which arm is better.
    """
    measure = METRICS[metric]
    if measure.larger_is_better is None:
        raise ValueError(f"{metric} describes answers and does not rank them")
    columns = _columns(arms, measure)
    noise = estimate_noise(
        columns,
        measure.value,
        are_shares=measure.is_share,
        seedless=[place for place, name in enumerate(arms) if name in seedless],
    )
    seeds = [[float(measure.value(sums.sum(axis=0))) for sums in ones] for ones in columns]
    means = np.array([np.mean(ones) for ones in seeds])
    if not np.isfinite(means).all():
        raise ValueError(f"{metric} has no value in some arm")
    best = int(means.argmax() if measure.larger_is_better else means.argmin())
    names = list(arms)
    return Comparison(
        metric,
        margin,
        noise.items,
        {
            name: ArmScore(_interval(float(means[place]), noise, place, measure), tuple(ones))
            for place, (name, ones) in enumerate(zip(names, seeds, strict=True))
        },
        noise.seed_deviation,
        names[best],
        {names[arm]: gap for arm, gap in _gaps(means, noise, best, margin).items()},
    )


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values after Holm's step-down correction (Scandinavian J. of Statistics, 1979)."""
    order = np.argsort(values)
    corrected = np.empty(len(values))
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, (len(values) - rank) * values[place])
        corrected[place] = min(1.0, highest)
    return [float(value) for value in corrected]


def _columns(arms: Mapping[str, Sequence[Sequence[Item]]], measure: Metric) -> list[list[Array]]:
    """Return (items, sums) for each seed of each arm, of the items that all of them have."""
    if len(arms) < _FEWEST or not all(arms.values()):
        raise ValueError("a comparison needs two arms or more, each trained at least once")
    runs = [items for seeds in arms.values() for items in seeds]
    names = [item["id"] for item in runs[0]]
    if any([item["id"] for item in items] != names for items in runs):
        raise ValueError("the arms have not answered the same items, so they cannot be paired")
    kept = sorted(set.intersection(*(set(counted(measure, items)) for items in runs)))
    if len(kept) < _FEWEST:
        raise ValueError(
            f"a comparison needs two items that every arm has, and there is {len(kept)}"
        )
    together = measure.of([items[place] for items in runs for place in kept])  # the same sums
    parts = iter(np.split(together, len(runs)))
    return [[next(parts) for _ in seeds] for seeds in arms.values()]


def _interval(mean: float, noise: Noise, arm: int, measure: Metric) -> Interval:
    reach = noise.of_arm(arm).reach()
    if not measure.is_share:
        return Interval(mean, mean - reach, mean + reach)
    centre = (mean * noise.items + 1) / (noise.items + 2)  # of the two more items, one is right
    return Interval(mean, max(0.0, min(mean, centre - reach)), min(1.0, max(mean, centre + reach)))


def _gaps(means: Array, noise: Noise, best: int, margin: float) -> dict[int, Gap]:
    pairs = list(combinations(range(len(means)), 2))
    values = [
        _p(means[one] - means[other], noise.of_difference(one, other)) for one, other in pairs
    ]
    corrected = dict(zip(pairs, zip(values, holm(values), strict=True), strict=True))
    still_open = sum(p_holm >= LEVEL for _, p_holm in corrected.values())
    others = [arm for arm in range(len(means)) if arm != best]
    spreads = [noise.of_difference(arm, best) for arm in others]
    gaps = [float(means[arm] - means[best]) for arm in others]
    beyond = holm(
        [_p_beyond(abs(gap), spread, margin) for gap, spread in zip(gaps, spreads, strict=True)]
    )
    found = {}
    for arm, gap, spread, p_beyond in zip(others, gaps, spreads, beyond, strict=True):
        p, p_holm = corrected[min(arm, best), max(arm, best)]
        reach = spread.reach()
        found[arm] = Gap(
            Difference(gap, gap - reach, gap + reach),
            p,
            p_holm,
            _detectable(spread, LEVEL / max(1, still_open)),
            _verdict(is_worse=p_holm < LEVEL, is_within=p_beyond < LEVEL),
            spread,
        )
    return found


def _p(gap: float, spread: Spread) -> float:
    if spread.error == 0:
        return float(gap == 0)
    return float(2 * stats.t.sf(abs(gap) / spread.error, spread.degrees))


def _p_beyond(loss: float, spread: Spread, margin: float) -> float:
    """Return the one-sided p-value of losing the margin or more: small where an arm is within."""
    if spread.error == 0:
        return float(loss >= margin)
    return float(stats.t.sf((margin - loss) / spread.error, spread.degrees))


def _detectable(spread: Spread, level: float) -> float:
    """Return what a test at `level` finds: that of the next pair in Holm's order."""
    quantiles = stats.t.ppf([1 - level / 2, POWER], spread.degrees)
    return float(quantiles.sum()) * spread.error


def _verdict(*, is_worse: bool, is_within: bool) -> Verdict:
    if is_within:
        return "worse, within the margin" if is_worse else "equivalent"
    return "worse" if is_worse else "cannot tell"
