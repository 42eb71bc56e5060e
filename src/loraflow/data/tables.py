"""How rows lie on disk: Parquet files of kept and of rejected rows, in pieces."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from loraflow.data.records import Fault, Record

ROWS_AT_ONCE = 2_000  # read, cleaned and written together: what a piece of work holds in memory
_LONGEST_NOTE = 2_000  # characters of a value or threshold; the original is kept whole

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("learn", pa.bool_())])
RECORDS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("line", pa.int64()),
        ("kind", pa.string()),
        ("messages", pa.list_(_MESSAGE)),
        ("rejected", pa.string()),
        ("label", pa.string()),
        ("choices", pa.list_(pa.string())),
    ]
)
REJECTED = pa.schema(
    [
        ("source", pa.string()),
        ("line", pa.int64()),
        ("operator", pa.string()),
        ("value", pa.string()),
        ("threshold", pa.string()),
        ("original", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Row:
    """A record with its name and its place in the source, counted from 1."""

    record: Record
    source: str
    line: int
    id: str

    @property
    def place(self) -> str:
        """Say where the row stands, for people."""
        return place(self.source, self.line)

    def as_columns(self) -> dict[str, Any]:
        """Return the row as `RECORDS` has it."""
        record = self.record
        return {
            "id": self.id,
            "source": self.source,
            "line": self.line,
            "kind": record.kind,
            "messages": record.messages,
            "rejected": record.rejected,
            "label": record.label,
            "choices": record.choices,
        }


def place(source: str, line: int) -> str:
    """Say where a row stands, for people."""
    return f"{source} line {line}"


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of kept records, holding a piece of it at a time."""
    for batch in read_batches(path):
        yield from map(as_row, batch.to_pylist())


def read_batches(
    source: Any, columns: list[str] | None = None, *, rows: int = ROWS_AT_ONCE
) -> Iterator[pa.RecordBatch]:
    """Yield a Parquet file (a path, or an open file) in pieces of at most `rows` rows."""
    # pyarrow 25 would read the whole file ahead: 674 MB instead of 48 for a million rows
    yield from pq.ParquetFile(source, pre_buffer=False).iter_batches(rows, columns=columns)


def count_rows(path: Path) -> int:
    """Return how many rows a Parquet file has."""
    rows: int = pq.read_metadata(path).num_rows
    return rows


def rejection(
    fault: Fault, *, operator: str, source: str, line: int, original: str
) -> dict[str, Any]:
    """Return a row of `REJECTED`; value and threshold are JSON text."""
    return {
        "source": source,
        "line": line,
        "operator": fault.operator or operator,
        "value": _note(fault.value),
        "threshold": _note(fault.threshold),
        "original": original,
    }


class TableWriter:
    """Writes a Parquet file piece by piece; a piece is a row group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open the file; it is complete when the block around `writing` ends."""
        self.rows = 0
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    @classmethod
    @contextmanager
    def writing(cls, path: Path, schema: pa.Schema) -> Iterator[Self]:
        """Yield a writer and close the file behind the block."""
        writer = cls(path, schema)
        try:
            yield writer
        finally:
            writer._writer.close()

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows given as mappings from column to value."""
        if rows:
            self.add_batch(pa.RecordBatch.from_pylist(list(rows), schema=self._schema))

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Write a batch of this table's schema."""
        if batch.num_rows:
            self._writer.write_batch(batch)
            self.rows += batch.num_rows


def as_row(columns: Mapping[str, Any]) -> Row:
    """Read what `Row.as_columns` wrote."""
    choices = columns["choices"]
    record = Record(
        messages=tuple(_without_empty(message) for message in columns["messages"]),
        kind=columns["kind"],
        rejected=columns["rejected"],
        label=columns["label"],
        choices=None if choices is None else tuple(choices),
    )
    return Row(record, columns["source"], columns["line"], columns["id"])


def _without_empty(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if value is not None}


def _note(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > _LONGEST_NOTE:  # its head, as a JSON string: half a list would be no JSON
        text = json.dumps(text[:_LONGEST_NOTE], ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()
