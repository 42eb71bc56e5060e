"""Intervals for what was measured on items, and for differences between arms that share them.

Every number of a set of items is a function of sums over its items: a mean of sum and count, a
perplexity of nats and tokens, BLEU of n-gram counts. So one bootstrap serves them all: it draws
items, adds their sums up and takes the function of that. Arms that are compared are drawn together.

- Bootstrap of the items, percentile intervals: Efron and Tibshirani 1993, chapter 13.
- Their width for few items: as Student's t is to the normal distribution, Hesterberg 2015.
- Fewer than ten: the jackknife with Student's distribution, Tukey 1958.
- Shares of one arm: Wilson 1927, since a bootstrap of 100 right answers would have no width.
- Differences of shares: Agresti and Min 2005, for the same reason.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 10_000
_MANY, _RESAMPLES_OF_MANY = 2_000, 2_000  # items from which on fewer draws have to do
CONFIDENCE = 0.95
FEWEST_DRAWN = 10  # rows
_CELLS_AT_ONCE = 2_000_000  # bounds memory: draws of items, 8 bytes each

Array = NDArray[np.float64]
Value = Callable[[Array], Array]
"""What is made of sums over items: (..., sums) -> (...)."""


@dataclass(frozen=True)
class Interval:
    """A number of one arm and its 95% interval."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """Show the number with its interval: 0.269 (0.231 to 0.310)."""
        spec = spec or ".3f"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    def as_share(self) -> str:
        """Show a share in percent: 95% (90 to 98%)."""
        return f"{self.value:.0%} ({100 * self.low:.0f} to {self.high:.0%})"


@dataclass(frozen=True)
class Difference:
    """A difference of two arms and its 95% interval."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Tell whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def ratio(sums: Array) -> Array:
    """Return the first sum over the second: a mean, of values and what each counts for."""
    quotient: Array = sums[..., 0] / sums[..., 1]
    return quotient


def interval(
    sums: Array, value: Value = ratio, *, clusters: Sequence[Any] | None = None, seed: int = 0
) -> Interval:
    """Return `value` of all items with its bootstrap interval.

    `sums` has a row an item, of what is added up; items of one cluster (the turns of a question,
    say) are drawn together.
    """
    grouped = by_cluster(sums, clusters)
    low, high = _bounds(grouped, value, seed)
    return Interval(float(value(grouped.sum(axis=0))), low, high)


def paired_interval(
    challenger: Array,
    reference: Array,
    value: Value = ratio,
    *,
    clusters: Sequence[Any] | None = None,
    seed: int = 0,
) -> Difference:
    """Return `value` of the challenger's items minus that of the reference's, item drawn with item.

    What makes an item hard for both arms does not widen the interval.
    """
    arms = np.stack([challenger, reference], axis=1)
    grouped = by_cluster(arms.reshape(len(arms), -1), clusters)

    def difference(flat: Array) -> Array:
        both = flat.reshape(*flat.shape[:-1], 2, challenger.shape[1])
        gap: Array = value(both[..., 0, :]) - value(both[..., 1, :])
        return gap

    low, high = _bounds(grouped, difference, seed)
    return Difference(float(difference(grouped.sum(axis=0))), low, high)


def mean_interval(
    values: Sequence[float], *, clusters: Sequence[Any] | None = None, seed: int = 0
) -> Interval:
    """Return the mean of values on any scale with its interval; a share has one of its own."""
    return interval(weighted(values), clusters=clusters, seed=seed)


def paired_difference(
    challenger: Sequence[float],
    reference: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    clusters: Sequence[Any] | None = None,
    seed: int = 0,
) -> Difference:
    """Return the mean of (challenger - reference) over the same items, with its interval.

    With `weights` (tokens of each item, say) the mean is weighted, in each resample anew.
    """
    return paired_interval(
        weighted(challenger, weights), weighted(reference, weights), clusters=clusters, seed=seed
    )


def share_interval(successes: float, trials: int) -> Interval:
    """Return the share of successes with Wilson's interval, which has a width at 0 and at 1 too.

    A tie may be half a success.
    """
    share = successes / trials
    square = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) ** 2
    centre = (successes + square / 2) / (trials + square)
    spread = square * (trials * share * (1 - share) + square / 4)
    reach = float(np.sqrt(spread)) / (trials + square)
    return Interval(share, max(0.0, centre - reach), min(1.0, centre + reach))


def clustered_share(values: Sequence[float], clusters: Sequence[Any], *, seed: int = 0) -> Interval:
    """Return the share that values from 0 to 1 make; those of one cluster are drawn together.

    Where every value is a cluster of its own it is Wilson's interval; that over clusters where
    all of them have the same share, since draws would see no spread.
    """
    sums = by_cluster(weighted(values), clusters)
    shares = ratio(sums)
    if len(sums) == len(values) or np.ptp(shares) == 0:
        return share_interval(float(shares.sum()), len(sums))
    found = interval(sums, seed=seed)
    return Interval(found.value, max(0.0, found.low), min(1.0, found.high))


def share_difference(
    challenger: Sequence[float],
    reference: Sequence[float],
    *,
    clusters: Sequence[Any] | None = None,
) -> Difference:
    """Return the difference of two shares, both of the same items, each 0 or 1.

    Wald's interval with half a pair more in each of the four cells (Agresti and Min). Items of one
    cluster vary together, and few clusters have Student's quantile.
    """
    gap = np.subtract(challenger, reference)
    sums = by_cluster(weighted(gap.tolist()), clusters)
    count = len(gap) + 2
    centre = float(gap.sum()) / count
    off = sums[:, 0] - centre * sums[:, 1]
    # of the two more items half a one is gained, half a one lost, and one the same in both
    variance = float((off**2).sum()) + 1 + 2 * centre**2
    degrees = np.inf if len(sums) == len(gap) else len(sums) - 1
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees) * np.sqrt(variance) / count)
    return Difference(float(gap.mean()), max(-1.0, centre - reach), min(1.0, centre + reach))


def weighted(values: Sequence[float], weights: Sequence[float] | None = None) -> Array:
    """Return what `ratio` makes a weighted mean of: value times weight, and weight."""
    numbers = np.asarray(values, dtype=float)
    weight = np.ones_like(numbers) if weights is None else np.asarray(weights, dtype=float)
    return np.stack([numbers * weight, weight], axis=1)


def by_cluster(sums: Array, clusters: Sequence[Any] | None) -> Array:
    """Add up the rows of each cluster, which is drawn as one; None: each row is one."""
    if clusters is None:
        return np.asarray(sums, dtype=float)
    places: dict[Any, int] = {}
    rows = [places.setdefault(cluster, len(places)) for cluster in clusters]
    grouped = np.zeros((len(places), sums.shape[1]))
    np.add.at(grouped, rows, sums)
    return grouped


def _bounds(sums: Array, value: Value, seed: int) -> tuple[float, float]:
    """Return the expanded percentile interval of `value` over draws of the rows of `sums`.

    Draws of very few rows stay between them, however sure that looks: there it is Student's
    interval around the jackknife's error, and of a single row there is none (not a number).
    """
    count = len(sums)
    if count < FEWEST_DRAWN:
        return _jackknife(sums, value)
    found = [value(drawn @ sums) for drawn in draws(count, seed)]
    tail = 100 * _tail(count)
    low, high = np.nanpercentile(np.concatenate(found), [tail, 100 - tail])
    return float(low), float(high)


def _jackknife(sums: Array, value: Value) -> tuple[float, float]:
    """Return Student's interval; its error is that of leaving out one row after the other."""
    count = len(sums)
    if count == 1:
        return np.nan, np.nan
    whole = sums.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = value(whole - sums)
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * error)
    return float(value(whole)) - reach, float(value(whole)) + reach


def draws(count: int, seed: int = 0) -> Iterator[Array]:
    """Yield how often each resample takes each item, (resamples, items), in pieces."""
    resamples = RESAMPLES if count <= _MANY else _RESAMPLES_OF_MANY
    at_once = max(1, _CELLS_AT_ONCE // count)
    for piece, start in enumerate(range(0, resamples, at_once)):
        yield _draw(count, min(at_once, resamples - start), seed, piece)


@lru_cache(maxsize=8)  # all metrics of a set are drawn alike, and drawing is what takes time
def _draw(count: int, resamples: int, seed: int, piece: int) -> Array:
    generator = np.random.default_rng([seed, piece])
    shares = np.full(count, 1 / count)
    return generator.multinomial(count, shares, size=resamples).astype(float)


def _tail(count: int) -> float:
    """Return the share cut off at each end: 2.5%, and less where items are few (Hesterberg 2015).

    Percentiles take the variance over n, not n - 1, and the normal distribution for Student's.
    """
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)
    return float(stats.norm.sf(np.sqrt(count / (count - 1)) * quantile))
