"""How much more a judge gives for an answer of twice the length: a slope and its interval."""

from collections.abc import Sequence

import numpy as np

from loraflow.compare.statistics import Array, Interval, interval

_FEWEST = 3  # points for a slope: two lie on a line


def slope(x: Sequence[float], y: Sequence[float], *, seed: int) -> Interval | None:
    """Return the least-squares slope of y by x.

    None where it cannot be told: fewer than three points, or all at the same x.
    """
    across, up = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(across) < _FEWEST or np.ptp(across) == 0:
        return None
    across = across - across.mean()  # so that sums of squares do not cancel
    sums = [np.ones_like(across), across, up, across * up, across**2]
    return interval(np.stack(sums, axis=1), _slope, seed=seed)


def _slope(sums: Array) -> Array:
    """Sums: points, x, y, x times y, x squared."""
    points, x, y, product, square = (sums[..., part] for part in range(5))
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw of one point, many times
        found: Array = (points * product - x * y) / (points * square - x**2)
    return found
