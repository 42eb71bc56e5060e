"""A histogram of lengths, held-out rows over training rows, laid out in pixels for SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from loraflow.data.report.lengths import Counts

_MARGIN, _FOOT = 18, 46  # pixels beside and below the bars
_PIXELS_PER_BAR = 14
_PIXELS_PER_TICK = 72
_TICKS_UP = 5
_MOST = 0.98  # where the longest row is far beyond this share of the rows, the axis ends there
_FAR = 1.5
_HEADROOM = 1.08
_ROUND_ENOUGH = 10  # as a width of bins


@dataclass(frozen=True)
class Bin:
    """Rows of more than `above` and at most `up_to` tokens; None: however long."""

    above: int
    up_to: int | None
    train: int
    held_out: int
    train_share: float
    held_out_share: float


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Bins of one width from 0 on, the last one perhaps endless, and where they stand."""

    bins: Sequence[Bin]
    width: int  # pixels
    height: int = 250
    left: int = 48  # room for the axis of shares
    top: int = 40  # room for the names of lines

    def x(self, tokens: float) -> float:
        """Return where a length stands from left to right."""
        return round(self.left + tokens / self._end * (self.right - self.left), 1)

    def y(self, share: float) -> float:
        """Return where a share of the rows stands from top to bottom."""
        return round(self.base - share / self._highest * (self.base - self.top), 1)

    @property
    def right(self) -> int:
        """Where the longest rows are."""
        return self.width - _MARGIN

    @property
    def base(self) -> int:
        """Where no rows are."""
        return self.height - _FOOT

    @property
    def step(self) -> int:
        """Tokens from bin to bin."""
        return self.bins[0].up_to or 1

    def shows(self, tokens: int) -> bool:
        """Tell whether a length has its place on the axis."""
        return tokens <= max(part.up_to or part.above for part in self.bins)

    @property
    def across(self) -> list[Tick]:
        """Ticks for lengths."""
        room = (self.right - self.left) // _PIXELS_PER_TICK
        return [
            Tick(self.x(value), f"{value:,}")
            for value in round_ticks(self._end, room)
            if self.shows(value)
        ]

    @property
    def up(self) -> list[Tick]:
        """Ticks for shares, in percent."""
        permille = int(1000 * self._highest)
        return [
            Tick(self.y(value / 1000), f"{value / 10:g}%")
            for value in round_ticks(permille, _TICKS_UP)
        ]

    @property
    def line(self) -> str:
        """The SVG path of the held-out shares; empty where there are none."""
        if not any(part.held_out for part in self.bins):
            return ""
        steps = [
            f"V{self.y(part.held_out_share)}H{self.x(part.above + self.step)}" for part in self.bins
        ]
        return f"M{self.x(0)},{self.base}{''.join(steps)}V{self.base}"

    @property
    def _end(self) -> int:
        return self.bins[-1].above + self.step

    @property
    def _highest(self) -> float:
        shares = [max(part.train_share, part.held_out_share) for part in self.bins]
        return max(*shares, 0.01) * _HEADROOM


def draw_histogram(train: Counts, held_out: Counts, *, limit: int | None, width: int) -> Histogram:
    """Sort lengths into bins; the axis ends where nearly all rows do, or at a near `limit`."""
    edges, endless = _edges(np.concatenate([train, held_out, [1]]), limit, width)
    bins = len(edges) - 1 + endless
    sides = [_sort(counts, edges)[:bins] for counts in (train, held_out)]
    tops = [*edges[1:], None]
    return Histogram(
        [
            Bin(
                above=edges[n],
                up_to=tops[n],
                train=rows,
                held_out=others,
                train_share=rows / max(1, len(train)),
                held_out_share=others / max(1, len(held_out)),
            )
            for n, (rows, others) in enumerate(zip(*sides, strict=True))
        ],
        width,
    )


def round_ticks(end: int, most: int) -> range:
    """Return round numbers from 0 up to `end`, about `most` of them."""
    return range(0, end + 1, next(step for step in _round_numbers() if step * most >= end))


def _edges(counts: Counts, limit: int | None, width: int) -> tuple[list[int], bool]:
    """Return where bins begin and end, and whether there is more beyond the last."""
    most, longest = max(1, int(np.quantile(counts, _MOST))), int(counts.max())
    end = longest if longest <= _FAR * most else most
    if limit is not None and end <= limit <= _FAR * end:
        end = limit
    step = _bin_width(end, limit, width // _PIXELS_PER_BAR)
    edges = list(range(0, end + step, step))
    return edges, longest > edges[-1]


def _bin_width(end: int, limit: int | None, bins: int) -> int:
    """Choose a width with which a bin ends at the limit, if there is one; else a round one."""
    least = -(-end // bins)
    unit = 5 * 10 ** (len(str(least)) - 2) if least > _ROUND_ENOUGH else 1
    exact = (width for width in range(least, 2 * least) if limit and limit % width == 0)
    return next(exact, -(-least // unit) * unit)


def _sort(counts: Counts, edges: Sequence[int]) -> list[int]:
    """Count rows per bin; the last one is for what is beyond the edges."""
    bins = np.maximum(np.searchsorted(edges, counts, side="left") - 1, 0)
    found: list[int] = np.bincount(bins, minlength=len(edges)).tolist()
    return found


def _round_numbers() -> Iterator[int]:
    """Yield 1, 2, 5, 10, 20, 50 and so on."""
    for power in count():
        yield from (10**power, 2 * 10**power, 5 * 10**power)
