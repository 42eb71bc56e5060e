"""Many arms on the same items, each trained with several seeds: which is best, how surely."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loraflow.compare.metrics import METRICS, Item, Metric, counted, prompts_of
from loraflow.compare.pairs import LEVEL, Pairs, compare_pairs, holm, p_beyond
from loraflow.compare.statistics import Array, Difference, Interval, by_cluster
from loraflow.compare.variance import Noise, Spread, estimate_noise

Verdict = Literal["worse", "worse, within the margin", "equivalent", "cannot tell"]

POWER = 0.8
_FEWEST = 2  # arms, and prompts: one has no spread


@dataclass(frozen=True)
class ArmScore:
    """The number of an arm, the mean over its seeds."""

    value: Interval
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Gap:
    """What separates an arm from the best one."""

    difference: Difference  # arm minus best, in the metric's units; corrected as `p_holm` is
    p: float  # two-sided
    p_holm: float  # after Holm's correction over all pairs of arms
    detectable: float  # smallest true difference that is found, so corrected, in 80 of 100 cases
    verdict: Verdict
    spread: Spread

    @property
    def is_within(self) -> bool:
        """Tell whether the arm is shown to lose less than the margin."""
        return self.verdict in ("equivalent", "worse, within the margin")


@dataclass(frozen=True)
class Comparison:
    """All arms, and the gap of each to the best."""

    metric: str
    margin: float  # a smaller loss of quality is none
    items: int  # that every arm has answered
    prompts: int  # that they answer; items of one prompt are drawn together
    arms: Mapping[str, ArmScore]
    seed_deviation: float | None  # between trainings that differ in the seed; None: one seed each
    best: str
    gaps: Mapping[str, Gap]  # of every arm but the best
    clear: frozenset[tuple[str, str]]  # (better, worse), of all pairs that Holm tells apart


def compare_arms(
    arms: Mapping[str, Sequence[Sequence[Item]]],
    metric: str,
    *,
    margin: float,
    seedless: Collection[str] = (),
) -> Comparison:
    """Compare arms, each a list of items for every seed, by a metric.

    `seedless` names arms that would be the same with any seed, such as the base model. Of arms with
    one and the same number the first is the best: smaller ones should come first.

    Holm's correction (1979) runs over all pairs, though only those with the best are shown: the
    best was picked by looking at the same numbers, so every pair had its chance to be shown.
    Correcting for the shown pairs alone calls equal arms worse too often. For the same reason the
    interval of a difference has the level at which Holm's procedure ends (Bonferroni over the pairs
    that are still open), so zero lies outside just where it rejects. That an arm loses less than
    the margin is corrected over all arms but the best: whoever picks the smallest of many that are
    shown so would find a wrong one too often.

    Raises:
        ValueError: for fewer than two arms or prompts, an arm without a training, items that differ
            between arms, or a metric that has no value or does not say which arm is better.
    """
    measure = METRICS[metric]
    if measure.larger_is_better is None:
        raise ValueError(f"{metric} describes answers and does not rank them")
    names = list(arms)
    kept = _kept(arms, measure)
    columns = _columns(arms, measure, kept)
    noise = estimate_noise(
        columns,
        measure.value,
        are_shares=measure.is_share,
        seedless=[place for place, name in enumerate(names) if name in seedless],
    )
    seeds = [[float(measure.value(sums.sum(axis=0))) for sums in ones] for ones in columns]
    means = np.array([np.mean(ones) for ones in seeds])
    if not np.isfinite(means).all():
        raise ValueError(f"{metric} has no value in some arm")
    best = int(means.argmax() if measure.larger_is_better else means.argmin())
    pairs = compare_pairs(means, noise)
    spans = [
        _interval(float(mean), noise.of_arm(place).reach(), len(kept), measure)
        for place, mean in enumerate(means)
    ]
    return Comparison(
        metric,
        margin,
        len(kept),
        noise.items,
        {
            name: ArmScore(span, tuple(ones))
            for name, span, ones in zip(names, spans, seeds, strict=True)
        },
        noise.seed_deviation,
        names[best],
        {names[arm]: gap for arm, gap in _gaps(means, noise, pairs, best, margin)},
        frozenset((names[better], names[worse]) for better, worse in _clear(means, pairs, measure)),
    )


def _kept(arms: Mapping[str, Sequence[Sequence[Item]]], measure: Metric) -> list[int]:
    """Return the places of the items that every training of every arm has a value of."""
    if len(arms) < _FEWEST or not all(arms.values()):
        raise ValueError("a comparison needs two arms or more, each trained at least once")
    runs = [items for seeds in arms.values() for items in seeds]
    names = [item["id"] for item in runs[0]]
    if any([item["id"] for item in items] != names for items in runs):
        raise ValueError("the arms have not answered the same items, so they cannot be paired")
    return sorted(set.intersection(*(set(counted(measure, items)) for items in runs)))


def _columns(
    arms: Mapping[str, Sequence[Sequence[Item]]], measure: Metric, kept: Sequence[int]
) -> list[list[Array]]:
    """Return (prompts, sums) for each seed of each arm."""
    runs = [items for seeds in arms.values() for items in seeds]
    prompts = prompts_of([runs[0][place] for place in kept])
    if len(set(prompts)) < _FEWEST:
        raise ValueError(
            "a comparison needs items of two prompts or more that every arm has, "
            f"and there is {len(set(prompts))}"
        )
    together = measure.of([items[place] for items in runs for place in kept])  # the same sums
    parts = iter([by_cluster(part, prompts) for part in np.split(together, len(runs))])
    return [[next(parts) for _ in seeds] for seeds in arms.values()]


def _interval(mean: float, reach: float, items: int, measure: Metric) -> Interval:
    if not measure.is_share:
        return Interval(mean, mean - reach, mean + reach)
    centre = (mean * items + 1) / (items + 2)  # of the two more items, one is right
    return Interval(mean, max(0.0, min(mean, centre - reach)), min(1.0, max(mean, centre + reach)))


def _gaps(
    means: Array, noise: Noise, pairs: Pairs, best: int, margin: float
) -> Iterator[tuple[int, Gap]]:
    others = [arm for arm in range(len(means)) if arm != best]
    spreads = [noise.of_difference(arm, best) for arm in others]
    gaps = [float(means[arm] - means[best]) for arm in others]
    beyond = holm(
        [
            p_beyond(abs(gap), spread, margin, noise.items)
            for gap, spread in zip(gaps, spreads, strict=True)
        ]
    )
    for arm, gap, spread, p_within in zip(others, gaps, spreads, beyond, strict=True):
        p, p_holm = pairs.of(arm, best)
        reach = spread.reach(1 - pairs.level)
        seen = (spread.quantile(pairs.level / 2) + spread.quantile(1 - POWER)) * spread.error
        verdict = _verdict(is_worse=p_holm < LEVEL, is_within=p_within < LEVEL)
        yield arm, Gap(Difference(gap, gap - reach, gap + reach), p, p_holm, seen, verdict, spread)


def _clear(means: Array, pairs: Pairs, measure: Metric) -> Iterator[tuple[int, int]]:
    """Yield (better, worse) of the pairs that are told apart."""
    for (one, other), p in pairs.p_holm.items():
        if p < LEVEL:
            first_is_better = (means[one] > means[other]) == measure.larger_is_better
            yield (one, other) if first_is_better else (other, one)


def _verdict(*, is_worse: bool, is_within: bool) -> Verdict:
    if is_within:
        return "worse, within the margin" if is_worse else "equivalent"
    return "worse" if is_worse else "cannot tell"
