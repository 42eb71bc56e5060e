"""Cleans rows piece by piece: which are kept, what is edited, what is set aside and why."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from loraflow.config import DataConfig
from loraflow.data.clean.fingerprints import Fingerprints, take_fingerprints
from loraflow.data.operators.base import RowOperator
from loraflow.data.operators.sets import NearDuplicates
from loraflow.data.operators.table import build_row_operators, build_set_operators
from loraflow.data.read.json_text import parse_json
from loraflow.data.read.layouts import convert
from loraflow.data.read.rows import RawRow, Unreadable
from loraflow.data.records import Fault, Record
from loraflow.data.tables import RECORDS, REJECTED, Row, rejection

KEPT = RECORDS.append(pa.field("original", pa.string()))  # it may be set aside later

_HEAVIEST = 8 * 2**20  # characters in a piece
_SAMPLES = 2  # edits shown of each operator, from each piece
_AROUND = 60  # characters shown on both sides of an edit
_LONGEST_SAMPLE = 400  # characters; two changes far apart are cut behind the first


@dataclass(frozen=True)
class Piece:
    """Raw rows of one file, few enough to be held in memory."""

    source: str
    layout: str
    rows: list[RawRow]


@dataclass
class Cleaned:
    """What became of a piece: each of its rows is in `kept` or in `rejected`."""

    source: str
    lines: list[int]  # of the kept rows
    kept: pa.RecordBatch
    rejected: pa.RecordBatch
    fingerprints: Fingerprints
    edited: Counter[str]
    rejected_by: Counter[str]
    samples: list[dict[str, Any]] = field(repr=False)


class Cleaner:
    """The operators of a config, ready to be sent to another process."""

    def __init__(self, data: DataConfig) -> None:
        """Build the operators of `data.clean`, in order."""
        self._columns: dict[str, str] = dict(data.columns.items())
        self._stratify_by = data.split.stratify_by
        self._learn_all = data.learn == "all"
        self._operators: list[tuple[str, RowOperator]] = build_row_operators(data.clean)
        near = dict(build_set_operators(data.clean)).get("near_duplicates")
        self._ngram = near.ngram if isinstance(near, NearDuplicates) else None

    def clean(self, piece: Piece) -> Cleaned:
        """Convert each row to a record and pass it through the operators."""
        kept: list[Row] = []
        originals: list[str] = []
        rejected: list[dict[str, Any]] = []
        notes = _Notes(piece.source)
        for line, raw in piece.rows:
            outcome = self._convert(raw, piece.layout)
            operator = "schema"
            if isinstance(outcome, Record):
                operator, outcome = self._pass_through(outcome, line, notes)
            if isinstance(outcome, Fault):
                rejected.append(_set_aside(outcome, operator, piece.source, line, raw))
            else:
                kept.append(Row(outcome, piece.source, line, outcome.id))
                originals.append(_original(raw))
        return Cleaned(
            source=piece.source,
            lines=[row.line for row in kept],
            kept=_as_batch(kept, originals),
            rejected=pa.RecordBatch.from_pylist(rejected, schema=REJECTED),
            fingerprints=take_fingerprints(
                [row.record for row in kept],
                [row.id for row in kept],
                [self._stratum(row) for row in kept],
                ngram=self._ngram,
            ),
            edited=notes.edited,
            rejected_by=Counter(row["operator"] for row in rejected),
            samples=notes.samples,
        )

    def _stratum(self, row: Row) -> str:
        values = {"source": row.source, "kind": row.record.kind, "label": row.record.label}
        return (self._stratify_by and values[self._stratify_by]) or ""

    def _convert(self, raw: Any, layout: str) -> Record | Fault:
        if isinstance(raw, Unreadable):
            return raw.fault
        item = parse_json(raw) if isinstance(raw, str) else raw
        if isinstance(item, Fault):
            return item
        return convert(item, layout, columns=self._columns, learn_all=self._learn_all)

    def _pass_through(
        self, record: Record, line: int, notes: "_Notes"
    ) -> tuple[str, Record | Fault]:
        """Return the record as the last operator leaves it, or the first fault and who found it."""
        for name, operator in self._operators:
            outcome = operator(record)
            if isinstance(outcome, Fault):
                return name, outcome
            if outcome is not record:
                notes.add(name, line, record, outcome)
                record = outcome
        return "", record


@dataclass
class _Notes:
    """Counts edits and keeps a few to show."""

    source: str
    edited: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, operator: str, line: int, before: Record, after: Record) -> None:
        self.edited[operator] += 1
        if self.edited[operator] > _SAMPLES:
            return
        for old, new in zip(_texts(before), _texts(after), strict=True):
            if old != new:
                shown = _around_change(old, new)
                where = {"operator": operator, "source": self.source, "line": line}
                self.samples.append({**where, "before": shown[0], "after": shown[1]})
                return


def _texts(record: Record) -> list[str]:
    texts = [message["content"] for message in record.messages]
    return [*texts, record.rejected or "", *(record.choices or ())]


def _around_change(old: str, new: str) -> tuple[str, str]:
    """Cut both texts to where they differ and a little around it."""
    start = _shared(old, new)
    end = _shared(old[start:][::-1], new[start:][::-1])
    first, behind = max(0, start - _AROUND), max(0, end - _AROUND)
    before, after = old[first : len(old) - behind], new[first : len(new) - behind]
    return _shorten(before), _shorten(after)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_SAMPLE else f"{text[:_LONGEST_SAMPLE]} …"


def _shared(left: str, right: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(left), len(right)))


def _set_aside(fault: Fault, operator: str, source: str, line: int, raw: Any) -> dict[str, Any]:
    return rejection(fault, operator=operator, source=source, line=line, original=_original(raw))


def _original(raw: str | Mapping[str, Any] | Unreadable) -> str:
    """Return the row as it was read; of a row of columns, as JSON."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, Unreadable):
        return raw.original
    text = json.dumps(raw, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def _as_batch(rows: list[Row], originals: list[str]) -> pa.RecordBatch:
    columns: dict[str, list[Any]] = {name: [] for name in RECORDS.names}
    for row in rows:
        for name, value in row.as_columns().items():
            columns[name].append(value)
    columns["original"] = originals
    arrays = [pa.array(columns[item.name], item.type) for item in KEPT]
    return pa.RecordBatch.from_arrays(arrays, schema=KEPT)


def pieces_of(rows: Iterator[RawRow], source: str, layout: str, size: int) -> Iterator[Piece]:
    """Cut the rows of a file into pieces of at most `size` rows and a few megabytes."""
    waiting: list[RawRow] = []
    weight = 0
    for row in rows:
        waiting.append(row)
        weight += _weight(row[1])
        if len(waiting) == size or weight > _HEAVIEST:
            yield Piece(source, layout, waiting)
            waiting, weight = [], 0
    if waiting:
        yield Piece(source, layout, waiting)


def _weight(value: Any) -> int:
    """Return about how many characters a row has, whatever it is made of."""
    match value:
        case str():
            return len(value)
        case Unreadable():
            return len(value.original)
        case Mapping():
            return sum(map(_weight, value.values()))
        case list():
            return sum(map(_weight, value))
    return 1
