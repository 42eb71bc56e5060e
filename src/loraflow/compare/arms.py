"""Many arms on the same items, each trained with several seeds: which is best, how surely."""

from collections.abc import Mapping, Sequence
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
_FEWEST = 2  # arms


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
    detectable: float  # smallest true difference that is found with a probability of 80%
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
    arms: Mapping[str, Sequence[Sequence[Item]]], metric: str, *, margin: float
) -> Comparison:
    """Compare arms, each a list of items for every seed, by a metric.

    Holm's correction (1979) runs over all pairs, though only those with the best are shown: the
    best was picked by looking at the same numbers, so every pair had its chance to be shown.
    Correcting for the shown pairs alone calls equal arms worse too often.

    Raises:
        ValueError: for fewer than two arms, items that differ between arms, or a metric that does
            not say which arm is better.
    """
    measure = METRICS[metric]
    if measure.larger_is_better is None:
        raise ValueError(f"{metric} describes answers and does not rank them")
    columns = _columns(arms, measure)
    noise = estimate_noise(columns, measure.value, are_shares=measure.is_share)
    seeds = [[float(measure.value(sums.sum(axis=0))) for sums in ones] for ones in columns]
    means = np.array([np.mean(ones) for ones in seeds])
    best = int(means.argmax() if measure.larger_is_better else means.argmin())
    names = list(arms)
    return Comparison(
        metric,
        margin,
        noise.items,
        {
            name: ArmScore(_interval(means[place], noise.of_arm(place)), tuple(seeds[place]))
            for place, name in enumerate(names)
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
    if len(arms) < _FEWEST:
        raise ValueError("a comparison needs two arms or more")
    runs = [items for seeds in arms.values() for items in seeds]
    names = [item["id"] for item in runs[0]]
    if any([item["id"] for item in items] != names for items in runs):
        raise ValueError("the arms have not answered the same items, so they cannot be paired")
    kept = sorted(set.intersection(*(set(counted(measure, items)) for items in runs)))
    if not kept:
        raise ValueError("no item was measured in every arm")
    together = measure.of([items[place] for items in runs for place in kept])  # the same sums
    parts = iter(np.split(together, len(runs)))
    return [[next(parts) for _ in seeds] for seeds in arms.values()]


def _interval(mean: float, spread: Spread) -> Interval:
    reach = spread.reach()
    return Interval(float(mean), float(mean) - reach, float(mean) + reach)


def _gaps(means: Array, noise: Noise, best: int, margin: float) -> dict[int, Gap]:
    pairs = list(combinations(range(len(means)), 2))
    values = [
        _p(means[one] - means[other], noise.of_difference(one, other)) for one, other in pairs
    ]
    corrected = dict(zip(pairs, zip(values, holm(values), strict=True), strict=True))
    found = {}
    for arm in range(len(means)):
        if arm == best:
            continue
        spread = noise.of_difference(arm, best)
        gap, reach = float(means[arm] - means[best]), spread.reach()
        p, p_holm = corrected[min(arm, best), max(arm, best)]
        bound = abs(gap) + float(stats.t.ppf(CONFIDENCE, spread.degrees)) * spread.error
        found[arm] = Gap(
            Difference(gap, gap - reach, gap + reach),
            p,
            p_holm,
            _detectable(spread),
            _verdict(is_worse=p_holm < LEVEL, is_within=bound < margin),
            spread,
        )
    return found


def _p(gap: float, spread: Spread) -> float:
    if spread.error == 0:
        return float(gap == 0)
    return float(2 * stats.t.sf(abs(gap) / spread.error, spread.degrees))


def _detectable(spread: Spread) -> float:
    quantiles = stats.t.ppf([1 - LEVEL / 2, POWER], spread.degrees)
    return float(quantiles.sum()) * spread.error


def _verdict(*, is_worse: bool, is_within: bool) -> Verdict:
    if is_within:
        return "worse, within the margin" if is_worse else "equivalent"
    return "worse" if is_worse else "cannot tell"
