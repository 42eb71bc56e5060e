"""Stage: from records to token ids with the learned positions marked."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loraflow.config import TemplateConfig, TrainConfig
from loraflow.data.records import Fault
from loraflow.data.tables import (
    REJECTED,
    Row,
    TableWriter,
    count_rows,
    read_batches,
    read_rows,
    rejection,
)
from loraflow.data.template import IGNORED, Example, Refusal, Template
from loraflow.data.truncate import truncate
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from loraflow.progress import progress

log = logging.getLogger(__name__)

_SCHEMA = pa.schema(
    [("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))]
)
_CHARACTERS_AT_ONCE = 500_000  # tokenized together; it bounds what is held in memory
_MARK_CHARACTERS = 50  # about what a template writes around a message

_COUNTS = ("rows", "tokens", "learned_tokens", "longest", "cut", "turns_not_learned")
_COUNTED_AS = {  # why a row is set aside (operator) -> how it is counted
    "max_length": "too_long",
    "template": "not_rendered",
    "nothing_learned": "nothing_learned",
    "undesirable": "undesirable",
}


def tokenize(
    template: TemplateConfig, train: TrainConfig, *, prepared: Path, base: BaseModel, out: Path
) -> dict[str, Any]:
    """Write train.parquet, held_out.parquet, rejected.parquet and preview.txt to `out`.

    Both sides have the columns id, input_ids and labels (lists of the same length, IGNORED where
    nothing is learned). Rows that cannot be cut to `train.max_length`, that the template cannot
    show, or that teach nothing are in rejected.parquet.

    Raises:
        UserError: if no row of a side is left, or raw text meets a template for conversations.
    """
    tokenizer = load_tokenizer(base)
    encoder = _Encoder(
        Template(template, tokenizer, stop_tokens(base, tokenizer)),
        template.name,
        train,
        tokenizer.bos_token_id,
    )
    counts: dict[str, int] = {}
    with TableWriter.writing(out / "rejected.parquet", REJECTED) as rejected:
        for side in ("train", "held_out"):
            tally = encoder.write_side(prepared / f"{side}.parquet", out, rejected)
            counts |= {f"{side}_{name}": count for name, count in tally.items()}
    (out / "preview.txt").write_text(_preview(out / "train.parquet", tokenizer), encoding="utf-8")
    return {"counts": counts}


def read_examples(path: Path) -> list[dict[str, Any]]:
    """Read what `tokenize` wrote: rows of id, input_ids and labels."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


@dataclass
class _Encoded:
    """What became of a piece of a side."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    longest: int = 0


@dataclass(frozen=True)
class _Encoder:
    template: Template
    template_name: str
    train: TrainConfig
    bos: int | None

    def write_side(self, path: Path, out: Path, rejected: TableWriter) -> dict[str, int]:
        """Encode a file of rows piece by piece, and return the counts."""
        total = count_rows(path)
        tally = Counter({name: 0 for name in (*_COUNTS, *_COUNTED_AS.values())})
        first: dict[str, Any] | None = None
        with (
            TableWriter.writing(out / path.name, _SCHEMA) as kept,
            progress("tokenize", total, "rows") as bar,
        ):
            for rows in _pieces(read_rows(path)):
                encoded = self._encode(rows)
                kept.add(encoded.kept)
                rejected.add(encoded.rejected)
                tally.update(encoded.counts)
                tally["longest"] = max(tally["longest"], encoded.longest)
                first = first or next(iter(encoded.rejected), None)
                bar.update(len(rows))
        set_aside = {name: tally[count] for name, count in _COUNTED_AS.items() if tally[count]}
        if tally["rows"] + sum(set_aside.values()) != total:
            raise RuntimeError(f"rows of {path} were lost while tokenizing: {tally} of {total}")
        self._require_rows(path.stem, tally["rows"], set_aside, first)
        return dict(tally)

    def _encode(self, rows: Sequence[Row]) -> _Encoded:
        self._require_raw_text(rows)
        encoded = _Encoded()
        examples = self.template.examples([row.record.messages for row in rows])
        for row, whole in zip(rows, examples, strict=True):
            example = self._judge(row, whole)
            if isinstance(whole, Example):
                encoded.longest = max(encoded.longest, len(whole.input_ids))
            if isinstance(example, Fault):
                encoded.counts[_COUNTED_AS[str(example.operator)]] += 1
                encoded.rejected.append(_set_aside(row, example))
                continue
            learned = len(example.labels) - example.labels.count(IGNORED)
            encoded.kept.append(
                {"id": row.id, "input_ids": example.input_ids, "labels": example.labels}
            )
            encoded.counts.update(
                rows=1,
                tokens=len(example.labels),
                learned_tokens=learned,
                cut=int(example is not whole),
                turns_not_learned=example.turns_not_learned,
            )
        return encoded

    def _judge(self, row: Row, whole: Example | Refusal) -> Example | Fault:
        """Return what is trained on, or why nothing is."""
        if row.record.kind == "kto" and row.record.label == "false":
            return Fault(row.record.label, "true", "undesirable")
        if isinstance(whole, Refusal):
            return Fault(str(whole), f"template={self.template_name}", "template")
        if whole.answer_start is None:
            return Fault("no answer to learn", "an answer", "nothing_learned")
        keep = int(whole.input_ids[0] == self.bos)
        limit, policy = self.train.max_length, self.train.truncation
        example = truncate(whole, limit, policy=policy, keep=keep)
        return example or Fault(len(whole.labels), limit, "max_length")

    def _require_raw_text(self, rows: Sequence[Row]) -> None:
        """Refuse to teach a model to write documents as answers to an empty question."""
        text = next((row for row in rows if row.record.kind == "text"), None)
        if text and not self.template.shows_raw_text():
            raise UserError(
                f"template={self.template_name} is for conversations, but {text.place} is raw text "
                "(kind text), which has no question; set template=text"
            )

    def _require_rows(
        self, side: str, left: int, set_aside: dict[str, int], first: dict[str, Any] | None
    ) -> None:
        if set_aside.get("template"):
            log.warning(
                "template=%s cannot show %s %s rows; they are in rejected.parquet",
                self.template_name,
                f"{set_aside['template']:,}",
                side,
            )
        if left:
            return
        reasons = ", ".join(f"{name} {count}" for name, count in set_aside.items())
        example = f"; the first: {first['operator']}, got {first['value']:.300}" if first else ""
        raise UserError(
            f"train.max_length={self.train.max_length} with "
            f"train.truncation={self.train.truncation} leaves no {side} row ({reasons}{example}); "
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


def _preview(path: Path, tokenizer: Any) -> str:
    """Show the first example as the model reads it, and the part that it learns."""
    row = next(read_batches(path, rows=1)).to_pylist()[0]
    learned = [label for label in row["labels"] if label != IGNORED]
    return (
        f"--- what the model reads ---\n{tokenizer.decode(row['input_ids'])}\n"
        f"--- what it learns to write ---\n{tokenizer.decode(learned)}\n"
    )
