"""Picks single rows out of Parquet files of any length, a piece of the file at a time."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from loraflow.data.tables import place, read_batches

Places = NDArray[np.int64]
"""Rows of a file, counted from 0."""


def take_rows(path: Path, places: Sequence[int] | Places, columns: list[str]) -> list[Any]:
    """Return the rows at these places as mappings, in the order of the file."""
    file = pq.ParquetFile(path, pre_buffer=False)
    wanted = np.unique(np.asarray(places, dtype=np.int64))
    rows: list[Any] = []
    first = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        inside = wanted[(wanted >= first) & (wanted < first + size)] - first
        if inside.size:
            rows += file.read_row_group(group, columns=columns).take(pa.array(inside)).to_pylist()
        first += size
    return rows


def spread(places: Places, count: int) -> Places:
    """Return at most `count` of the places, spread evenly over all of them."""
    count = min(count, len(places))
    return places[np.arange(count) * len(places) // max(1, count)]


def count_values(path: Path, column: str) -> Counter[str]:
    """Count how often each value of a column occurs; rows without a value do not count."""
    counts: Counter[str] = Counter()
    for batch in read_batches(path, [column]):
        for pair in pc.value_counts(batch[column].drop_null()).to_pylist():
            counts[pair["values"]] += pair["counts"]
    return counts


def places_by_value(path: Path, column: str) -> dict[str, Places]:
    """Return the places of each value of a column that has few different ones."""
    found: defaultdict[str, list[Places]] = defaultdict(list)
    first = 0
    for batch in read_batches(path, [column]):
        values = batch[column].dictionary_encode()
        codes = values.indices.to_numpy(zero_copy_only=False)
        for code, value in enumerate(values.dictionary.to_pylist()):
            found[value].append(np.flatnonzero(codes == code) + first)
        first += batch.num_rows
    return {value: np.concatenate(parts) for value, parts in found.items()}


def find_rows(path: Path, wanted: Collection[str], columns: list[str]) -> dict[str, Any]:
    """Return rows by their place in the source ("FILE line N"), as far as the file has them."""
    places: dict[str, int] = {}
    first = 0
    for batch in read_batches(path, ["source", "line"]):
        lines = pc.cast(batch["line"], pa.string())
        names = pc.binary_join_element_wise(batch["source"], lines, " line ")
        inside = np.flatnonzero(pc.is_in(names, value_set=pa.array(sorted(wanted), pa.string())))
        for row in inside.tolist():
            places.setdefault(names[row].as_py(), row + first)
        first += batch.num_rows
    names_in_order = sorted(places, key=lambda name: places[name])
    rows = take_rows(path, sorted(places.values()), columns)
    return dict(zip(names_in_order, rows, strict=True))


def find_places(path: Path, ids: Collection[str]) -> dict[str, str]:
    """Return for each id the place of its row in the source, as far as the file has it."""
    found: dict[str, str] = {}
    wanted = pa.array(sorted(ids), pa.string())
    for batch in read_batches(path, ["id", "source", "line"]):
        for row in batch.filter(pc.is_in(batch["id"], value_set=wanted)).to_pylist():
            found.setdefault(row["id"], place(row["source"], row["line"]))
    return found
