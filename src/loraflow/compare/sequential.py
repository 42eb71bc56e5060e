"""Which of two arms is better, told while data still come in, however often one looks.

A usual interval or test holds for one look at a number of items that was set before. Who looks
after every rating and stops at the first p < 0.05 finds a difference where there is none, sooner
or later almost surely. Here the error is bounded over all looks together:

- Values are differences in [-1, 1], each expected to be the true difference, whatever came before.
- One bets on each value, against every difference that could be true. Where the bets have won
  1 / alpha of their stake, that difference is given up: under it this happens ever with a
  probability of alpha at most (Ville 1939). What is left at a time is the interval of that time.
- The bets are those of the hedged capital process: Waudby-Smith and Ramdas, "Estimating means of
  bounded random variables by betting", JRSS-B 86 (2024), section 4.3, with their plug-in bets (26).

`tests/compare/test_sequential.py` measures all of it by simulation.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05

Array = NDArray[np.float64]
Verdict = Literal["better", "worse", "open", "changed"]

_HALF = 1000  # candidates for the difference at either side of 0: 0.001 apart
_GRID = np.linspace(0, 1, 2 * _HALF + 1)  # of the values as the bets see them, in [0, 1]
_MOST_AT_STAKE = 0.5  # of the capital, on a value; c of the paper
_AT_ONCE = 256  # values; bounds memory
_LARGEST_BLOCK = 10  # values of the larger arm, at least 1 of the other
_MOST_WAITING = 20  # blocks whose values of one arm wait for those of the other
_NEVER = 10**6


@dataclass(frozen=True)
class Followed:
    """What could be said after each value; all arrays have an entry a value."""

    mean: Array  # so far
    low: Array  # of the difference: the true one lies within at all times, in 95 of 100 tests
    high: Array
    p: Array  # of no difference; valid at any time
    variance: float  # of the values
    alpha: float

    @property
    def verdict(self) -> Verdict:
        """Say whether the difference is told apart from none; what was told once stays told.

        "changed": no single difference fits all values, so it was another one at another time.
        """
        if not len(self.mean):
            return "open"
        if self.low[-1] > self.high[-1]:
            return "changed"
        if self.p[-1] > self.alpha:
            return "open"
        return "better" if self.low[-1] >= 0 else "worse"


def follow(values: Sequence[float] | Array, alpha: float = ALPHA) -> Followed:
    """Return what each of the `values`, differences in [-1, 1] as they came, adds to what is known.

    Raises:
        ValueError: for a value outside.
    """
    x = (np.asarray(values, dtype=float) + 1) / 2
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError("differences have to lie between -1 and 1")
    count = len(x)
    low, high, won = np.empty(count), np.empty(count), np.empty(count)
    for start, capital in _capitals(x, alpha):  # log of it: (values, grid)
        rows = slice(start, start + len(capital))
        kept = capital < math.log(1 / alpha)
        kept[np.arange(len(kept)), capital.argmin(axis=1)] = True
        low[rows] = _GRID[np.maximum(kept.argmax(axis=1) - 1, 0)]
        high[rows] = _GRID[len(_GRID) - 1 - np.maximum(kept[:, ::-1].argmax(axis=1) - 1, 0)]
        won[rows] = capital[:, _HALF]
    return Followed(
        mean=2 * np.cumsum(x) / np.arange(1, count + 1) - 1,
        low=2 * np.maximum.accumulate(low) - 1,
        high=2 * np.minimum.accumulate(high) - 1,
        p=np.minimum(1, np.exp(-np.maximum.accumulate(won))) if count else won,
        variance=float(np.var(2 * x)) if count else math.nan,
        alpha=alpha,
    )


def _capitals(x: Array, alpha: float) -> Iterator[tuple[int, Array]]:
    """Yield the log of half of what the better of two bettors has, against each mean of the grid.

    One bets that the mean is higher, one that it is lower; each has half of the money.
    """
    bets = _bets(x, alpha)[:, None]
    with np.errstate(divide="ignore"):
        most_up, most_down = _MOST_AT_STAKE / _GRID, _MOST_AT_STAKE / (1 - _GRID)
    up, down = np.zeros(len(_GRID)), np.zeros(len(_GRID))
    for start in range(0, len(x), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        gap = x[rows, None] - _GRID
        ups = up + np.cumsum(np.log1p(np.minimum(bets[rows], most_up) * gap), axis=0)
        downs = down + np.cumsum(np.log1p(-np.minimum(bets[rows], most_down) * gap), axis=0)
        up, down = ups[-1], downs[-1]
        yield start, np.maximum(ups, downs) - math.log(2)


def _bets(x: Array, alpha: float) -> Array:
    """Return the share at stake on each value per unit of distance, made of earlier values only."""
    t = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]]) if len(x) else variance
    return _plug_in(t, before, alpha)


def _plug_in(t: NDArray[np.int64], variance: Array | float, alpha: float) -> Array:
    found: Array = np.sqrt(2 * math.log(2 / alpha) / (variance * t * np.log1p(t)))
    return found


def values_needed(difference: float, variance: float, alpha: float = ALPHA) -> int:
    """Return after about how many values a true difference is told apart from none.

    `variance` is that of the values. It is when the expected winnings suffice; half of all tests
    need more.
    """
    gap, spread = abs(difference) / 2, max(variance / 4, 1e-4)  # as the bets see them
    count = 64
    while count < 2 * _NEVER:
        t = np.arange(1, count + 1)
        bets = np.minimum(_plug_in(t, spread, alpha), 2 * _MOST_AT_STAKE)
        won = np.cumsum(bets * gap - bets**2 * (spread + gap**2) / 2)
        if won.max() >= math.log(2 / alpha):
            return int((won >= math.log(2 / alpha)).argmax()) + 1
        count *= 4
    return _NEVER


def block_of(share: float) -> tuple[int, int]:
    """Return how many values of control and of candidate make a block.

    `share` is the candidate's part of all. A share of 0.1 gives 9 and 1; odd shares are brought to
    a block of ten or fewer.
    """
    near = Fraction(share).limit_denominator(_LARGEST_BLOCK)
    part = min(max(near, Fraction(1, _LARGEST_BLOCK)), Fraction(_LARGEST_BLOCK - 1, _LARGEST_BLOCK))
    return part.denominator - part.numerator, part.numerator


def differences(
    values: Iterable[tuple[bool, float]], block: tuple[int, int]
) -> tuple[list[float], list[int]]:
    """Return mean of candidate minus mean of control of each block, and how many came until then.

    `values` are, as they came, whether one is the candidate's, and a number in [0, 1]. A block is
    full once it has the `block` of both; what is common to a time of day, or to a week, is in both
    means and cancels.

    Where one arm has more than its part, its oldest values are left out, so that none waits for
    weeks to be compared with those of another mood. Which values share a block, and which are left
    out, depends on the order of arms alone, never on a value: so each difference is expected to be
    the true one, as before.
    """
    waiting = [deque[float](maxlen=_MOST_WAITING * size) for size in block]
    found, came = [], []
    for number, (is_candidate, value) in enumerate(values, start=1):
        waiting[is_candidate].append(value)
        if all(len(side) >= size for side, size in zip(waiting, block, strict=True)):
            control, candidate = (
                sum(side.popleft() for _ in range(size)) / size
                for side, size in zip(waiting, block, strict=True)
            )
            found.append(candidate - control)
            came.append(number)
    return found, came
