"""Runs all sources through reading and cleaning, and keeps of each row what judging it needs."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from loraflow.config import DataConfig
from loraflow.data.clean.cleaner import KEPT, Cleaned, Cleaner, Piece, pieces_of
from loraflow.data.clean.fingerprints import Digests, FingerprintFiles, Rows
from loraflow.data.read.built_in import BUILT_IN
from loraflow.data.read.json_text import parse_json
from loraflow.data.read.layouts import describe_layouts, detect_layout
from loraflow.data.read.own import OWN, is_own
from loraflow.data.read.rows import RawRow, read_raw
from loraflow.data.read.sources import Source, find_sources
from loraflow.data.tables import (
    RECORDS,
    ROWS_AT_ONCE,
    Row,
    TableWriter,
    as_row,
    place,
    read_batches,
)
from loraflow.errors import RefusedData
from loraflow.parallel import map_in_order, usable_cores
from loraflow.progress import progress

_ALONE = 8 * 2**20  # bytes that one process cleans before a second one would have started
_LOOKED_AT = 50  # rows from which a layout is told
_LOOKED_THROUGH = 5_000  # rows among which they are sought
_SAMPLES = 5  # edits shown of an operator


@dataclass
class SourceCounts:
    """A source, and how many of its rows were read and rejected so far."""

    name: str
    entry: int
    layout: str
    read: int = 0
    rejected: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return what the report shows."""
        return {
            "name": self.name,
            "layout": self.layout,
            "read": self.read,
            "rejected": self.rejected,
        }


@dataclass
class Gathered:
    """All rows that are kept so far, by number; the rows themselves are on disk."""

    kept: Path
    files: FingerprintFiles
    digests: dict[str, Digests]
    sources: list[SourceCounts]
    source: NDArray[np.int32]  # number of the source of each kept row
    line: NDArray[np.int64]
    edited: Counter[str]
    rejected_by: Counter[str]
    samples: list[dict[str, Any]]  # edits to show

    @property
    def entry(self) -> NDArray[np.int16]:
        """Return for each kept row which of data.path it came with, or HELD_OUT."""
        entries = np.array([source.entry for source in self.sources], np.int16)
        found: NDArray[np.int16] = entries[self.source]
        return found

    def rows(self, numbers: Rows) -> Iterator[Row]:
        """Yield kept rows by number, in order, reading the file once."""
        for start, batch in self.batches(RECORDS.names):
            yield from map(as_row, batch.take(_inside(numbers, start, batch)).to_pylist())

    def texts(self, numbers: Rows) -> Iterator[tuple[int, list[str]]]:
        """Yield the number and all message texts of each of the kept rows asked for."""
        for start, batch in self.batches(["messages"]):
            inside = _inside(numbers, start, batch)
            messages = batch.column("messages").take(inside)
            texts = pc.list_flatten(messages).field("content").to_pylist()
            ends = np.cumsum(pc.list_value_length(messages).to_numpy()).tolist()
            for row, first, end in zip(inside, [0, *ends], ends, strict=False):
                yield start + int(row), texts[first:end]

    def batches(self, columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the file of kept rows in pieces, each with the number of its first row."""
        start = 0
        for batch in read_batches(self.kept, columns):
            yield start, batch
            start += batch.num_rows

    def place(self, row: int) -> str:
        """Say where kept row number `row` stands."""
        return place(self.sources[self.source[row]].name, int(self.line[row]))


def gather(data: DataConfig, *, rejected: TableWriter, scratch: Path) -> Gathered:
    """Read and clean every row: kept ones go to `scratch`, others to `rejected`.

    Raises:
        UserError: if a source cannot be read or has no known layout.
    """
    inputs = list(_inputs(data))
    counts = [SourceCounts(one.name, one.entry, one.layout) for one in inputs]
    total = Totals()
    files = FingerprintFiles(scratch)
    heavy = sum(one.size for one in inputs) > _ALONE
    pieces = (piece for one in inputs for piece in one.pieces())
    numbers = {one.name: number for number, one in enumerate(inputs)}
    with (
        TableWriter.writing(scratch / "kept.parquet", KEPT) as kept,
        progress("clean", None, "rows") as bar,
    ):
        cleaned = map_in_order(
            Cleaner(data).clean, pieces, processes=min(usable_cores(), 8) if heavy else 1
        )
        for part in cleaned:
            kept.add_batch(part.kept)
            rejected.add_batch(part.rejected)
            files.add(part.fingerprints)
            total.add(part, numbers[part.source])
            count = counts[numbers[part.source]]
            count.rejected += part.rejected.num_rows
            count.read += part.kept.num_rows + part.rejected.num_rows
            bar.update(part.kept.num_rows + part.rejected.num_rows)
    return Gathered(
        kept=scratch / "kept.parquet",
        files=files,
        digests=files.finish(),
        sources=counts,
        source=np.concatenate([np.empty(0, np.int32), *total.sources]),
        line=np.concatenate([np.empty(0, np.int64), *total.lines]),
        edited=total.edited,
        rejected_by=total.rejected_by,
        samples=total.samples,
    )


def _inside(numbers: Rows, start: int, batch: pa.RecordBatch) -> Rows:
    """Return which rows of a batch are among `numbers` (sorted), counted from its first row."""
    first, end = np.searchsorted(numbers, [start, start + batch.num_rows])
    return numbers[first:end] - start


def clean_head(data: DataConfig, rows: int) -> tuple[list[Cleaned], bool]:
    """Clean at most `rows` rows of each source; tell whether that was all of them."""
    cleaner = Cleaner(data)
    parts: list[Cleaned] = []
    complete = True
    for one in _inputs(data):
        head = list(islice(one.rows(), rows))
        complete = complete and len(head) < rows
        parts += map(cleaner.clean, pieces_of(iter(head), one.name, one.layout, ROWS_AT_ONCE))
    return parts, complete


@dataclass
class Totals:
    """Sums over the pieces."""

    sources: list[NDArray[np.int32]] = field(default_factory=list)
    lines: list[NDArray[np.int64]] = field(default_factory=list)
    edited: Counter[str] = field(default_factory=Counter)
    rejected_by: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)
    _shown: Counter[str] = field(default_factory=Counter)

    def add(self, part: Cleaned, source: int) -> None:
        """Add a piece of source number `source`."""
        self.sources.append(np.full(len(part.lines), source, np.int32))
        self.lines.append(np.array(part.lines, np.int64))
        self.edited += part.edited
        self.rejected_by += part.rejected_by
        for sample in part.samples:
            self._shown[sample["operator"]] += 1
            if self._shown[sample["operator"]] <= _SAMPLES:
                self.samples.append(sample)


@dataclass(frozen=True)
class _Input:
    """A source whose layout is known."""

    name: str
    entry: int
    layout: str
    size: int
    rows: Callable[[], Iterator[RawRow]]

    def pieces(self) -> Iterator[Piece]:
        return pieces_of(self.rows(), self.name, self.layout, ROWS_AT_ONCE)


def _inputs(data: DataConfig) -> Iterator[_Input]:
    for source in find_sources(data):
        layout = _layout_of(source, data)
        yield _Input(source.name, source.entry, layout, source.size, partial(read_raw, source.path))
    if data.path is None:
        built_in = BUILT_IN[data.layout]
        yield _Input(built_in.name, 0, built_in.layout, 0, partial(built_in.rows, data))


def _layout_of(source: Source, data: DataConfig) -> str:
    """Return the layout named, or the one that the first readable rows have."""
    if is_own(source.path):
        return OWN
    if data.layout not in ("auto", *BUILT_IN):
        return data.layout
    items: list[Mapping[str, Any]] = []
    for _, raw in islice(read_raw(source.path), _LOOKED_THROUGH):
        item = parse_json(raw) if isinstance(raw, str) else raw
        if isinstance(item, Mapping) and item:
            items.append(item)
        if len(items) == _LOOKED_AT:
            break
    layout = detect_layout(items, dict(data.columns.items()))
    if layout is None and items:
        columns = list(dict.fromkeys(str(name) for item in items for name in item))
        first, last = _as_word(columns[0]), _as_word(columns[-1])
        raise RefusedData(
            f"data.path={source.name} has the columns {', '.join(columns[:20])}, which fit no "
            "known layout; say which is which, e.g. "
            f'"data.columns={{question:{first},answer:{last}}}".\n'
            f"Known layouts:\n{describe_layouts()}"
        )
    return layout or "messages"  # nothing readable: every row will say so


def _as_word(name: str) -> str:
    """Write a column's name as the command line takes it."""
    return name if re.fullmatch(r"\w+", name) else f"'{name}'"
