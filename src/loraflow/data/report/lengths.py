"""Measures rows in tokens: how long they are, and how much of a batch is padding."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from loraflow.data.tables import read_batches
from loraflow.data.template import IGNORED

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Lengths:
    """Tokens of each row, in the order of the file: all of them, and those to learn."""

    whole: Counts
    learned: Counts

    @property
    def prompt(self) -> Counts:
        """Tokens that are only read."""
        return self.whole - self.learned


@dataclass(frozen=True)
class Padding:
    """What a model computes when rows are padded to the longest one of their batch."""

    positions: int
    tokens: int
    learned: int

    @property
    def padding(self) -> int:
        """Positions without a token."""
        return self.positions - self.tokens

    @property
    def prompt(self) -> int:
        """Positions with a token that is only read."""
        return self.tokens - self.learned

    @property
    def share(self) -> float:
        """Padding among all positions."""
        return self.padding / max(1, self.positions)


@dataclass(frozen=True)
class Spread:
    """A few numbers that stand for many."""

    shortest: int
    median: int
    long: int  # 95 of 100 are at most as long
    longest: int
    total: int


def read_lengths(path: Path) -> Lengths:
    """Return the lengths of a file of token rows; the tokens pass by a piece at a time."""
    whole, learned = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for batch in read_batches(path, ["input_ids", "labels"]):
        labels = batch["labels"]
        seen = np.cumsum(labels.values.to_numpy(zero_copy_only=False) != IGNORED)
        seen = np.concatenate([[0], seen])
        learned.append(np.diff(seen[labels.offsets.to_numpy()]))
        whole.append(pc.list_value_length(batch["input_ids"]).to_numpy(zero_copy_only=False))
    return Lengths(np.concatenate(whole).astype(np.int64), np.concatenate(learned))


def in_order(lengths: Lengths, batch_size: int) -> Padding:
    """Measure batches of rows that follow each other in the file."""
    return _measure(lengths, lengths.whole, batch_size)


def grouped(lengths: Lengths, batch_size: int) -> Padding:
    """Measure batches of rows sorted by length, the longest first: next to no padding."""
    return _measure(lengths, np.sort(lengths.whole)[::-1], batch_size)


def summarize(counts: Counts) -> Spread:
    """Return the numbers that stand for `counts`; the median and 95% are lengths that occur."""
    if not len(counts):
        return Spread(0, 0, 0, 0, 0)
    low, median, long, high = np.quantile(counts, [0, 0.5, 0.95, 1], method="lower").tolist()
    return Spread(low, median, long, high, int(counts.sum()))


def _measure(lengths: Lengths, order: Counts, batch_size: int) -> Padding:
    starts = np.arange(0, len(order), batch_size)
    sizes = np.diff(np.append(starts, len(order)))
    longest = np.maximum.reduceat(order, starts) if len(order) else order
    return Padding(int((longest * sizes).sum()), int(order.sum()), int(lengths.learned.sum()))
