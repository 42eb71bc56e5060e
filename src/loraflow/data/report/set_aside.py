"""Examples of rows that were set aside, by operator, and copies beside the row that they copy."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from loraflow.data.read.json_text import parse_json
from loraflow.data.read.layouts import LAYOUTS, convert
from loraflow.data.records import Record
from loraflow.data.report.difference import Change, compare
from loraflow.data.report.samples import (
    find_rows,
    places_by_value,
    spread,
    take_rows,
)
from loraflow.data.report.text import plain_note, split_fields
from loraflow.data.tables import place, read_batches

_EXAMPLES = 3  # of each operator, and of each group of copies
_GROUPS = 5

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Example:
    """A row that was set aside, and why."""

    place: str
    value: str
    threshold: str
    fields: Fields


@dataclass(frozen=True)
class Reason:
    """An operator, how many rows it set aside, and some of them."""

    operator: str
    rows: int
    examples: Sequence[Example]


@dataclass(frozen=True)
class Copy:
    """A row that was set aside for an earlier one, and how it differs from that one."""

    place: str
    similarity: float | None
    text: str
    changes: Sequence[Change]  # empty where there is nothing to compare with

    @property
    def same_share(self) -> float:
        """Share of the text that the other has too."""
        same = sum(len(change.old) for change in self.changes if change.same)
        return same / max(1, *(sum(map(len, texts)) for texts in self._sides))

    @property
    def _sides(self) -> tuple[list[str], list[str]]:
        return [part.old for part in self.changes], [part.new for part in self.changes]


@dataclass(frozen=True)
class Group:
    """A row and the rows set aside because of it."""

    kept: str  # where the row stands
    text: str | None  # None: it is neither in train nor in held-out
    size: int  # copies
    copies: Sequence[Copy]


def read_reasons(path: Path) -> list[Reason]:
    """Return the operators that set rows aside, most rows first, with examples spread over all."""
    columns = ["source", "line", "value", "threshold", "original"]
    by_operator = places_by_value(path, "operator")
    return [
        Reason(
            operator,
            len(places),
            [_example(row) for row in take_rows(path, spread(places, _EXAMPLES), columns)],
        )
        for operator, places in sorted(
            by_operator.items(), key=lambda item: (-len(item[1]), item[0])
        )
    ]


def read_groups(
    folder: Path, operators: Collection[str], layouts: Mapping[str, str]
) -> tuple[int, list[Group]]:
    """Return how many groups of copies operators found in a prepared folder, and the largest.

    `layouts` are those of the sources; copies are read by them, to be compared as messages.
    """
    path = folder / "rejected.parquet"
    sizes = Counter(name for _, name in _originals(path, operators))
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_GROUPS]
    members = _members(path, operators, largest)
    columns = ["source", "line", "value", "original"]
    texts = _kept_texts(folder, largest)
    return len(sizes), [
        Group(
            name,
            texts.get(name),
            sizes[name],
            [
                _copy(row, texts.get(name), layouts.get(row["source"]))
                for row in take_rows(path, members[name], columns)
            ],
        )
        for name in largest
    ]


def _example(row: Mapping[str, Any]) -> Example:
    return Example(
        place(row["source"], row["line"]),
        plain_note(row["value"]),
        plain_note(row["threshold"]),
        split_fields(row["original"]),
    )


def _originals(path: Path, operators: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield for each copy its number in the file and the place of the row that it copies."""
    first = 0
    for batch in read_batches(path, ["operator", "value"]):
        found = batch["operator"].to_pylist()
        for n in [n for n, operator in enumerate(found) if operator in operators]:
            if name := _same_as(batch["value"][n].as_py()):
                yield first + n, name
        first += batch.num_rows


def _same_as(value: str) -> str | None:
    try:
        note = orjson.loads(value)
    except orjson.JSONDecodeError:  # a note that was cut
        return None
    return note.get("same_as") if isinstance(note, dict) else None


def _members(
    path: Path, operators: Collection[str], names: Collection[str]
) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {name: [] for name in names}
    for number, name in _originals(path, operators):
        if name in members and len(members[name]) < _EXAMPLES:
            members[name].append(number)
    return members


def _kept_texts(folder: Path, names: Collection[str]) -> dict[str, str]:
    """Return the messages of rows by their place in the source, wherever they ended up."""
    texts: dict[str, str] = {}
    for side in ("train", "held_out"):
        for name, row in find_rows(folder / f"{side}.parquet", names, ["messages"]).items():
            texts[name] = _text([message["content"] for message in row["messages"]])
    return texts


def _copy(row: Mapping[str, Any], kept: str | None, layout: str | None) -> Copy:
    text = _messages(row["original"], layout)
    return Copy(
        place(row["source"], row["line"]),
        orjson.loads(row["value"]).get("similarity"),
        text,
        [] if kept is None else compare(kept, text),
    )


def _messages(original: str, layout: str | None) -> str:
    """Return the messages of a row as it was read; of an unknown layout, all its columns."""
    item = parse_json(original) if layout in LAYOUTS else None
    record = convert(item, layout, columns={}, learn_all=True) if layout in LAYOUTS else None
    if isinstance(record, Record):
        return _text([message["content"] for message in record.messages])
    return _text([text for _, text in split_fields(original)])


def _text(parts: Sequence[str]) -> str:
    return "\n".join(part for part in parts if part)
