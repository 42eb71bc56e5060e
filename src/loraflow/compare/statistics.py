"""Intervals for differences between two arms that answered the same items."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_AT_ONCE = 100  # bounds memory: 100 resamples of 10,000 items are 8 MB


@dataclass(frozen=True)
class Difference:
    """A mean difference and its 95% interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    challenger: Sequence[float],
    reference: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Difference:
    """Return the mean of (challenger - reference) with its 95% percentile bootstrap interval.

    With `weights` (tokens of each item, say) the mean is weighted, in each resample anew.

    The items are resampled as pairs, so what makes an item hard for both arms does not widen the
    interval (Efron and Tibshirani 1993, chapter 13).
    """
    differences = np.asarray(challenger, dtype=float) - np.asarray(reference, dtype=float)
    weight = np.ones_like(differences) if weights is None else np.asarray(weights, dtype=float)
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES // _AT_ONCE):
        draws = generator.integers(len(differences), size=(_AT_ONCE, len(differences)))
        means.extend((differences * weight)[draws].sum(axis=1) / weight[draws].sum(axis=1))
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(np.average(differences, weights=weight)), float(low), float(high))
