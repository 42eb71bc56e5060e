"""How sure the mean of an arm over seeds is, and the difference of two: items and seeds as noise.

The score of arm a with seed s on item i is a mean, an effect of the item, one of the item in this
arm, one of the seed, and what is left: the seed changes some answers. Items are shared by all arms;
seeds lie inside arms. Two things are seen: how a difference moves when items are resampled, and how
much arms differ between seeds. What is left is in both, and must count once. So

    variance of a difference = (items - what is left) + what is seen between seeds, left included,

each divided by its number of seeds. The variance between seeds is pooled over arms, since two or
three seeds of one say little. An arm in which no seed plays a part, such as the base model, has
none of it.

Both variances are estimates, that of the seeds often from few trainings. Quantiles are the means of
Student's for either, each weighted by its part (Cochran 1964): safe where Satterthwaite's degrees
of freedom, which are estimated from the same few trainings, are too many.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from loraflow.compare.statistics import CONFIDENCE, FEWEST_DRAWN, Array, Value, draws

_SMALLEST_TAIL = 1e-100  # a smaller one is none


@dataclass(frozen=True)
class Spread:
    """A variance in its parts, and how well it is known."""

    items: float  # items, the same in every training
    seeds: float  # trainings: all that differs between seeds
    answers: float  # the part of `seeds` that more items make smaller too
    item_degrees: float  # of freedom, of the estimate of `items`
    seed_degrees: float  # and of that of `seeds`

    @property
    def error(self) -> float:
        """Return the standard error."""
        return float(np.sqrt(self.items + self.seeds))

    def quantile(self, tail: float) -> float:
        """Return how many standard errors chance exceeds, on one side, with probability `tail`."""
        of_items = -special.stdtrit(self.item_degrees, tail)
        if not self.seeds:
            return float(of_items)
        of_seeds = -special.stdtrit(self.seed_degrees, tail)
        return float((self.items * of_items + self.seeds * of_seeds) / self.error**2)

    def tail(self, distance: float) -> float:
        """Return the probability, on one side, that chance exceeds a distance."""
        if distance < 0:
            return 1 - self.tail(-distance)
        errors = distance / self.error
        if errors >= self.quantile(_SMALLEST_TAIL):
            return 0.0
        log_tail = optimize.brentq(
            lambda log: self.quantile(np.exp(log)) - errors, np.log(_SMALLEST_TAIL), np.log(0.5)
        )
        return float(np.exp(log_tail))

    def reach(self, confidence: float = CONFIDENCE) -> float:
        """Return half the width of a two-sided interval."""
        return self.quantile((1 - confidence) / 2) * self.error


@dataclass(frozen=True)
class Noise:
    """The noise of all arms of a comparison."""

    items: int  # that are drawn by themselves
    covariance: Array  # (arms, arms), of the arms' means over seeds under other items
    between: float  # variance between seeds as it is seen, pooled
    answers: float  # of one seed, the part of it that other items would change
    shares: tuple[float, ...]  # of `between` in an arm's mean: 1 / seeds, or 0 if none plays a part
    seed_degrees: int  # 0: no arm has two seeds, and nothing is known of them

    @property
    def seed_deviation(self) -> float | None:
        """Return how much a training with another seed differs, beyond the noise of the items."""
        pure = max(0.0, self.between - self.answers)
        return float(np.sqrt(pure)) if self.seed_degrees else None

    def of_arm(self, arm: int) -> Spread:
        """Return the noise of an arm's own number."""
        return self._spread(float(self.covariance[arm, arm]), self.shares[arm])

    def of_difference(self, arm: int, other: int) -> Spread:
        """Return the noise of the difference of two arms."""
        both = self.covariance[[arm, other]][:, [arm, other]]
        resampled = max(0.0, float(both[0, 0] + both[1, 1] - 2 * both[0, 1]))
        return self._spread(resampled, self.shares[arm] + self.shares[other])

    def _spread(self, resampled: float, share: float) -> Spread:
        degrees = max(1.0, self.items - 1.0)
        if not self.seed_degrees:
            return Spread(resampled, 0.0, 0.0, degrees, degrees)
        items, seeds = max(0.0, resampled - share * self.answers), share * self.between
        return Spread(items, seeds, min(share * self.answers, seeds), degrees, self.seed_degrees)


def estimate_noise(
    arms: Sequence[Sequence[Array]],
    value: Value,
    *,
    are_shares: bool = False,
    seedless: Collection[int] = (),
) -> Noise:
    """Return the noise of arms, each a list of (items, sums) arrays, one a seed.

    Items of one prompt are one row, their sums.

    `seedless` are the places of arms that would be the same with any seed.
    Items that are 0 or 1 get half a pair more in each cell: where all answers are right, draws of
    them have no variance, and the truth has.
    """
    columns = [sums for seeds in arms for sums in seeds]
    owner = np.repeat(np.arange(len(arms)), [len(seeds) for seeds in arms])
    resampled, factor = _resample(columns, value)
    means = np.stack([resampled[:, owner == arm].mean(axis=1) for arm in range(len(arms))], axis=1)
    centred = means - means.mean(axis=0)
    covariance = factor * centred.T @ centred / len(centred)
    if are_shares:
        covariance = _with_half_pairs(arms)
    whole = np.array([float(value(sums.sum(axis=0))) for sums in columns])
    between, answers, degrees = _between_seeds(whole, resampled, owner, factor)
    shares = tuple(0.0 if arm in seedless else 1 / len(seeds) for arm, seeds in enumerate(arms))
    return Noise(len(columns[0]), covariance, between, answers, shares, degrees)


def _with_half_pairs(arms: Sequence[Sequence[Array]]) -> Array:
    """Return the covariance of shares with two more items (Agresti and Min 2005).

    Half a pair in each cell: every training answers the two by a coin of its own, which is
    (1/2 - share) from the share on average, and varies by 1/4 over its seeds. Rows are (right,
    items), of an item or of the items of one prompt.
    """
    right = np.stack([np.mean([sums[:, 0] for sums in seeds], axis=0) for seeds in arms])
    counts = arms[0][0][:, 1]
    items = counts.sum() + 2
    shares = (right.sum(axis=1) + 1) / items
    off = right - np.outer(shares, counts)
    coins = np.outer(0.5 - shares, 0.5 - shares) + np.diag([0.25 / len(seeds) for seeds in arms])
    found: Array = (off @ off.T + 2 * coins) / items**2
    return found


def _resample(columns: Sequence[Array], value: Value) -> tuple[Array, float]:
    """Return values under other items (resamples, columns), and what makes their variance right.

    Resamples in which a value is undefined, for none of their items has a weight, are left out.
    """
    count = len(columns[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        if count < FEWEST_DRAWN:  # the jackknife, Tukey 1958: draws of few items stay between them
            factor, parts = count - 1.0, [[value(sums.sum(axis=0) - sums) for sums in columns]]
        else:
            factor = count / (count - 1)
            parts = [[value(drawn @ sums) for sums in columns] for drawn in draws(count)]
    found = np.concatenate([np.stack(part, axis=1) for part in parts])
    return found[~np.isnan(found).any(axis=1)], factor


def _between_seeds(
    whole: Array, resampled: Array, owner: NDArray[np.int_], factor: float
) -> tuple[float, float, int]:
    """Return the variance between seeds, its part from items, and its degrees of freedom."""
    seen = items = 0.0
    degrees = 0
    for arm in np.unique(owner):
        mine = owner == arm
        free = int(mine.sum()) - 1
        if not free:
            continue
        degrees += free
        seen += free * float(whole[mine].var(ddof=1))
        deviations = resampled[:, mine] - resampled[:, mine].mean(axis=1, keepdims=True)
        # the deviations of S seeds from their mean have (S - 1) / S of one seed's variance
        items += factor * float(deviations.var(axis=0).sum())
    if not degrees:
        return 0.0, 0.0, 0
    return seen / degrees, items / degrees, degrees
