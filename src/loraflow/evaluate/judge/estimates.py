"""What a card estimates: shares of which rows are the unit, and slopes."""

from collections.abc import Sequence

import numpy as np

from loraflow.compare.statistics import Array, Interval, interval, share_interval

_FEWEST = 3  # points for a slope: two lie on a line


def clustered_share(wins: Sequence[int], trials: Sequence[int], *, seed: int) -> Interval:
    """Return all wins over all trials; trials of one row are not independent, so rows are drawn.

    Where every row has the same share a bootstrap sees no spread: then Wilson's interval over rows
    is given.
    """
    sums = np.stack([np.asarray(wins, float), np.asarray(trials, float)], axis=1)
    if np.ptp(sums[:, 0] / sums[:, 1]) > 0:
        return interval(sums, seed=seed)
    share = float(sums[0, 0] / sums[0, 1])
    over_rows = share_interval(round(share * len(sums)), len(sums))
    return Interval(share, min(share, over_rows.low), max(share, over_rows.high))


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
