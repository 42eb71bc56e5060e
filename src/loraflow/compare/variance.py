"""How sure the mean of an arm over seeds is, and the difference of two: items and seeds as noise.

The score of arm a with seed s on item i is a mean, an effect of the item, one of the item in this
arm, one of the seed, and what is left. Items are shared by all arms; seeds lie inside arms. So

    variance of a difference = items (resampled together, what is left over seeds included)
                             + pure seed variance * (1 / seeds of one arm + 1 / seeds of the other).

The pure seed variance is that between seeds, less the part of it that other items would change,
which is in the first term already. It is pooled over arms: two or three seeds of one say little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from loraflow.compare.statistics import CONFIDENCE, FEWEST_DRAWN, Array, Value, draws


@dataclass(frozen=True)
class Spread:
    """A variance in its two parts, and how well it is known."""

    items: float
    seeds: float
    degrees: float  # of freedom, by Satterthwaite 1946

    @property
    def error(self) -> float:
        """Return the standard error."""
        return float(np.sqrt(self.items + self.seeds))

    def reach(self, confidence: float = CONFIDENCE) -> float:
        """Return half the width of a two-sided interval."""
        return float(stats.t.ppf((1 + confidence) / 2, self.degrees)) * self.error


@dataclass(frozen=True)
class Noise:
    """The noise of all arms of a comparison."""

    items: int
    covariance: Array  # (arms, arms), of the arms' means over seeds under other items
    seed_variance: float  # pure, of one training
    between: float  # variance between seeds as it was seen, pooled
    seeds: tuple[int, ...]  # of each arm
    seed_degrees: int  # 0: no arm has two seeds

    def of_arm(self, arm: int) -> Spread:
        """Return the noise of an arm's own number."""
        return self._spread(float(self.covariance[arm, arm]), 1 / self.seeds[arm])

    def of_difference(self, arm: int, other: int) -> Spread:
        """Return the noise of the difference of two arms."""
        both = self.covariance[[arm, other]][:, [arm, other]]
        items = max(0.0, float(both[0, 0] + both[1, 1] - 2 * both[0, 1]))
        return self._spread(items, 1 / self.seeds[arm] + 1 / self.seeds[other])

    def _spread(self, items: float, share: float) -> Spread:
        seeds = self.seed_variance * share
        doubt = items**2 / max(1, self.items - 1)
        if self.seed_degrees:
            doubt += (share * self.between) ** 2 / self.seed_degrees
        total = items + seeds
        return Spread(items, seeds, max(1.0, total**2 / doubt) if doubt > 0 else np.inf)


def estimate_noise(arms: Sequence[Sequence[Array]], value: Value) -> Noise:
    """Return the noise of arms, each a list of (items, sums) arrays, one a seed."""
    columns = [sums for seeds in arms for sums in seeds]
    owner = np.repeat(np.arange(len(arms)), [len(seeds) for seeds in arms])
    resampled, factor = _resample(columns, value)
    means = np.stack([resampled[:, owner == arm].mean(axis=1) for arm in range(len(arms))], axis=1)
    centred = means - means.mean(axis=0)
    covariance = factor * centred.T @ centred / len(centred)
    whole = np.array([float(value(sums.sum(axis=0))) for sums in columns])
    between, pure, degrees = _between_seeds(whole, resampled, owner, factor)
    counts = tuple(len(seeds) for seeds in arms)
    return Noise(len(columns[0]), covariance, max(0.0, pure), between, counts, degrees)


def _resample(columns: Sequence[Array], value: Value) -> tuple[Array, float]:
    """Return values under other items (resamples, columns), and what makes their variance right."""
    count = len(columns[0])
    if count < FEWEST_DRAWN:  # the jackknife, Tukey 1958: draws of few items stay between them
        found = np.stack([value(sums.sum(axis=0) - sums) for sums in columns], axis=1)
        return found, count - 1.0
    parts = [np.stack([value(drawn @ sums) for sums in columns], axis=1) for drawn in draws(count)]
    return np.concatenate(parts), count / (count - 1)


def _between_seeds(
    whole: Array, resampled: Array, owner: NDArray[np.int_], factor: float
) -> tuple[float, float, int]:
    """Return the variance between seeds as seen, its pure part, and its degrees of freedom."""
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
    return seen / degrees, (seen - items) / degrees, degrees
