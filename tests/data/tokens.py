"""Records on disk as `prepare` leaves them, and what `tokenize` makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
from omegaconf import OmegaConf
from pydantic import TypeAdapter

from flows.command import CONF
from loraflow.config import TemplateConfig, TrainConfig
from loraflow.data.records import Message, Record
from loraflow.data.tables import RECORDS, Row, TableWriter
from loraflow.data.tokenize import read_examples, tokenize
from loraflow.model.source import BaseModel

SIDES = ("train", "held_out")


def chat(*texts: str, **fields: Any) -> Record:
    """Return questions and answers in turn."""
    messages: list[Message] = [
        {"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)
    ]
    return Record(tuple(messages), **fields)


def document(text: str) -> Record:
    """Return raw text."""
    return Record(({"role": "assistant", "content": text},), kind="text")


def pair(*texts: str, rejected: str) -> Record:
    """Return a conversation whose last answer is better than `rejected`."""
    return chat(*texts, kind="preference", rejected=rejected)


def labelled(text: str, label: str) -> Record:
    """Return a text and its label, as the layout classify reads it."""
    return chat(text, label, kind="classify", label=label)


def write_records(folder: Path, records: Sequence[Record], held_out: Sequence[Record] = ()) -> Path:
    """Write both sides of a split, as `prepare` leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    for side, rows in zip(SIDES, (records, held_out or [chat("问题", "答案")]), strict=True):
        with TableWriter.writing(folder / f"{side}.parquet", RECORDS) as table:
            table.add(
                [Row(row, "a.jsonl", at, row.id).as_columns() for at, row in enumerate(rows, 1)]
            )
    return folder


def template(name: str) -> TemplateConfig:
    """Return a choice of conf/template."""
    values = OmegaConf.to_container(OmegaConf.load(CONF / "template" / f"{name}.yaml"))
    return TypeAdapter(TemplateConfig).validate_python(values)


def training(max_length: int, truncation: str = "cut_prompt", task: str = "sft") -> TrainConfig:
    """Return the default training with these settings."""
    values = cast(Any, OmegaConf.to_container(OmegaConf.load(CONF / "train" / "sft.yaml")))
    changed = {"task": task, "max_length": max_length, "truncation": truncation}
    return TypeAdapter(TrainConfig).validate_python({**values, **changed})


@dataclass(frozen=True)
class Tokens:
    """What `tokenize` left."""

    prepared: Path
    folder: Path
    counts: dict[str, int]

    def examples(self, side: str = "train") -> list[dict[str, Any]]:
        """Return the examples of one side."""
        return read_examples(self.folder / f"{side}.parquet")

    def rejected(self) -> list[dict[str, Any]]:
        """Return the rows set aside."""
        rows: list[dict[str, Any]] = pq.read_table(self.folder / "rejected.parquet").to_pylist()
        return rows


def tokenized(
    folder: Path, base: BaseModel, train: TrainConfig, *sides: Sequence[Record], form: str = "text"
) -> Tokens:
    """Write the records of one side or both below `folder`, and tokenize them."""
    prepared, out = write_records(folder / "prepared", *sides), folder / "tokens"
    out.mkdir()
    summary = tokenize(template(form), train, prepared=prepared, base=base, out=out)
    return Tokens(prepared, out, summary["counts"])
