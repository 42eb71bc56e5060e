"""Lengths and padding are exact, and the tokens themselves are never all in memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.report.lengths import Lengths, grouped, in_order, read_lengths, summarize
from loraflow.data.template import IGNORED


def write_tokens(path: Path, rows: list[tuple[int, int]], row_group_size: int = 2) -> Path:
    """Write rows of (prompt, answer) tokens."""
    table = pa.table(
        {
            "id": [str(n) for n in range(len(rows))],
            "input_ids": pa.array([[7] * (a + b) for a, b in rows], pa.list_(pa.int32())),
            "labels": pa.array([[IGNORED] * a + [7] * b for a, b in rows], pa.list_(pa.int32())),
        }
    )
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def test_lengths_are_those_of_the_rows(tmp_path: Path) -> None:
    rows = [(3, 2), (0, 5), (7, 1), (1, 0), (4, 4)]
    lengths = read_lengths(write_tokens(tmp_path / "train.parquet", rows))
    assert lengths.whole.tolist() == [5, 5, 8, 1, 8]
    assert lengths.learned.tolist() == [2, 5, 1, 0, 4]
    assert lengths.prompt.tolist() == [3, 0, 7, 1, 4]


def test_lengths_of_no_rows(tmp_path: Path) -> None:
    lengths = read_lengths(write_tokens(tmp_path / "train.parquet", []))
    assert lengths.whole.tolist() == []
    assert in_order(lengths, 4).share == grouped(lengths, 4).share == 0
    assert summarize(lengths.whole).longest == 0


def test_a_few_megabytes_do_for_many_tokens(tmp_path: Path) -> None:
    tokens = pa.ListArray.from_arrays(
        np.arange(0, 10_000_001, 100, dtype=np.int32), np.zeros(10_000_000, np.int32)
    )  # 40 MB a column
    table = pa.table({"input_ids": tokens, "labels": tokens})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=2_000)
    default, pool = pa.default_memory_pool(), pa.system_memory_pool()
    pa.set_memory_pool(pool)
    try:
        lengths = read_lengths(tmp_path / "train.parquet")
    finally:
        pa.set_memory_pool(default)
    assert int(lengths.whole.sum()) == 10_000_000
    assert 0 < pool.max_memory() < 40e6


def padding_by_hand(lengths: list[int], batch_size: int) -> int:
    padding = 0
    for start in range(0, len(lengths), batch_size):
        batch = lengths[start : start + batch_size]
        padding += sum(max(batch) - length for length in batch)
    return padding


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 9))
def test_padding_is_that_of_every_batch(rows: list[int], batch_size: int) -> None:
    lengths = Lengths(np.array(rows), np.ones(len(rows), np.int64))
    assert in_order(lengths, batch_size).padding == padding_by_hand(rows, batch_size)
    best = grouped(lengths, batch_size)
    assert best.padding == padding_by_hand(sorted(rows, reverse=True), batch_size)
    assert best.learned + best.prompt + best.padding == best.positions


def test_a_batch_of_one_row_needs_no_padding() -> None:
    lengths = Lengths(np.array([3, 9, 4]), np.array([1, 1, 1]))
    assert in_order(lengths, 1).share == 0


@pytest.mark.parametrize(
    ("counts", "median", "long"), [([5], 5, 5), ([1, 2, 3, 4], 2, 3), (list(range(1, 101)), 50, 95)]
)
def test_the_numbers_that_stand_for_many_occur(counts: list[int], median: int, long: int) -> None:
    spread = summarize(np.array(counts))
    assert (spread.median, spread.long) == (median, long)
    assert (spread.shortest, spread.longest) == (min(counts), max(counts))
