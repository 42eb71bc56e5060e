"""Writes one side of the split as examples, piece by piece, and counts what becomes of its rows."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from loraflow.config import TrainConfig
from loraflow.data.encode.base import Encoded, Encoder
from loraflow.data.records import Fault
from loraflow.data.tables import Row, TableWriter, count_rows, read_rows, rejection
from loraflow.data.template import IGNORED
from loraflow.errors import UserError
from loraflow.progress import progress

log = logging.getLogger(__name__)

_COLUMNS = [
    ("id", pa.string()),
    ("input_ids", pa.list_(pa.int32())),
    ("labels", pa.list_(pa.int32())),
]
_CHARACTERS_AT_ONCE = 500_000  # encoded together; it bounds what is held in memory
_MARK_CHARACTERS = 50  # about what a template writes around a message
_COUNTS = ("rows", "examples", "tokens", "learned_tokens", "longest", "cut", "turns_not_learned")


class SideWriter:
    """Counts rows, their examples and tokens, and the rows set aside by reason."""

    def __init__(
        self, name: str, encoder: Encoder, train: TrainConfig, *, template_name: str
    ) -> None:
        """Write the side called `name`: train or held_out."""
        self._name = name
        self._encoder = encoder
        self._train = train
        self._template_name = template_name
        self._tally = Counter(dict.fromkeys([*_COUNTS, *encoder.reasons.values()], 0))
        self._first: dict[str, Any] | None = None  # row set aside

    def write(self, path: Path, out: Path, rejected: TableWriter) -> dict[str, int]:
        """Encode a file of rows into `out`, and return the counts.

        Raises:
            RuntimeError: if a row was lost: a bug.
            UserError: if no row is left.
        """
        total = count_rows(path)
        schema = pa.schema([*_COLUMNS, *self._encoder.columns])
        with (
            TableWriter.writing(out / path.name, schema) as kept,
            progress("tokenize", total, "rows") as bar,
        ):
            for rows in _pieces(read_rows(path)):
                encoded = list(zip(rows, self._encoder.encode(rows), strict=True))
                kept.add([example for pair in encoded for example in self._examples(*pair)])
                rejected.add([row for pair in encoded for row in self._rejections(*pair)])
                bar.update(len(rows))
        self._require_all(path, total, kept.rows)
        self._require_rows()
        return dict(self._tally)

    def _examples(self, row: Row, encoded: Encoded) -> Iterator[dict[str, Any]]:
        self._tally["longest"] = max(self._tally["longest"], encoded.tokens)
        several = len(encoded.examples) > 1
        for number, example in enumerate(encoded.examples):
            yield {"id": f"{row.id}-{number}" if several else row.id, **example}
            labels = example["labels"]
            learned = len(labels) - labels.count(IGNORED)
            self._tally.update(tokens=len(labels), learned_tokens=learned)
        if encoded.examples:
            self._tally.update(
                rows=1,
                examples=len(encoded.examples),
                cut=int(encoded.cut),
                turns_not_learned=encoded.turns_not_learned,
            )

    def _rejections(self, row: Row, encoded: Encoded) -> Iterator[dict[str, Any]]:
        if encoded.fault is not None:
            self._tally[self._encoder.reasons[str(encoded.fault.operator)]] += 1
            set_aside = _set_aside(row, encoded.fault)
            self._first = self._first or set_aside
            yield set_aside

    def _set_aside_by(self) -> dict[str, int]:
        reasons = self._encoder.reasons
        return {name: self._tally[count] for name, count in reasons.items() if self._tally[count]}

    def _require_all(self, path: Path, total: int, written: int) -> None:
        found = self._tally["rows"] + sum(self._set_aside_by().values())
        if found != total or self._tally["examples"] != written:
            raise RuntimeError(
                f"rows of {path} were lost while tokenizing: {self._tally} of {total}, "
                f"{written} written"
            )

    def _require_rows(self) -> None:
        set_aside = self._set_aside_by()
        if set_aside.get("template"):
            log.warning(
                "template=%s cannot show %s %s rows; they are in rejected.parquet",
                self._template_name,
                f"{set_aside['template']:,}",
                self._name,
            )
        if self._tally["rows"]:
            return
        reasons = ", ".join(f"{name} {count}" for name, count in set_aside.items())
        first = self._first or {"operator": "", "value": ""}
        advice = self._encoder.advice.get(reasons.partition(" ")[0] if len(set_aside) == 1 else "")
        if advice:
            raise UserError(f"{advice.format(side=self._name)} ({reasons})")
        raise UserError(
            f"train.max_length={self._train.max_length} with "
            f"train.truncation={self._train.truncation} leaves no {self._name} row ({reasons}; "
            f"the first: {first['operator']}, got {first['value']:.300}); "
            "raise max_length, or choose another truncation, template or data"
        )


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Group rows so that their texts together are neither too much nor too little."""
    piece: list[Row] = []
    characters = 0
    for row in rows:
        piece.append(row)
        characters += sum(
            len(message["content"]) + _MARK_CHARACTERS for message in row.record.messages
        )
        if characters >= _CHARACTERS_AT_ONCE:
            yield piece
            piece, characters = [], 0
    if piece:
        yield piece


def _set_aside(row: Row, fault: Fault) -> dict[str, Any]:
    return rejection(
        fault,
        operator="",  # named by the fault
        source=row.source,
        line=row.line,
        original=json.dumps(row.record.messages, ensure_ascii=False),
    )
