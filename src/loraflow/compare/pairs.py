"""Which of two arms is better, asked of every pair at once and corrected for asking so often."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from loraflow.compare.statistics import CONFIDENCE, Array
from loraflow.compare.variance import Noise, Spread

LEVEL = 1 - CONFIDENCE
_DIFFERING = 0.02  # of all items: so few may differ between two arms that are the same to a user


@dataclass(frozen=True)
class Pairs:
    """The tests of all pairs of arms, each named by its two places, the lower first."""

    p: Mapping[tuple[int, int], float]  # two-sided
    p_holm: Mapping[tuple[int, int], float]  # after Holm's correction over all pairs

    def of(self, one: int, other: int) -> tuple[float, float]:
        """Return the p-value of two arms, and the corrected one."""
        pair = min(one, other), max(one, other)
        return self.p[pair], self.p_holm[pair]

    @property
    def level(self) -> float:
        """Return the level at which Holm's procedure ends: that of the next pair in its order."""
        return LEVEL / max(1, sum(p >= LEVEL for p in self.p_holm.values()))


def compare_pairs(means: Array, noise: Noise) -> Pairs:
    """Test all pairs of arms by their means."""
    pairs = list(combinations(range(len(means)), 2))
    values = [
        p_differ(float(means[one] - means[other]), noise.of_difference(one, other), noise.items)
        for one, other in pairs
    ]
    return Pairs(dict(zip(pairs, values, strict=True)), dict(zip(pairs, holm(values), strict=True)))


def p_differ(gap: float, spread: Spread, items: int) -> float:
    """Return the two-sided p-value of no difference; by the sign test where items do not vary."""
    if spread.error == 0:
        return 1.0 if gap == 0 else min(1.0, 2 * 0.5**items)
    return 2 * spread.tail(abs(gap))


def p_beyond(loss: float, spread: Spread, margin: float, items: int) -> float:
    """Return the one-sided p-value of losing the margin or more: small where an arm is within.

    Items that no arm answers otherwise show that few differ, and only if they are many.
    """
    if spread.error == 0:
        return float((1 - _DIFFERING) ** items) if loss < margin else 1.0
    return spread.tail(margin - loss)


def fewest_alike(level: float) -> int:
    """Return how many items it takes to show that two arms which never differ are alike."""
    return math.ceil(math.log(level) / math.log(1 - _DIFFERING))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values after Holm's step-down correction (Scandinavian J. of Statistics, 1979)."""
    order = np.argsort(values)
    corrected = np.empty(len(values))
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, (len(values) - rank) * values[place])
        corrected[place] = min(1.0, highest)
    return [float(value) for value in corrected]
