"""Small sources for the tests of reading, cleaning and preparing."""

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from loraflow.config import DataConfig
from loraflow.data.records import Message, Record

on_any_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def alpaca(path: Path | None, **changes: Any) -> DataConfig:
    """Return the settings to read `path`: few rows are enough, all answers are kept."""
    defaults = {
        "format": "alpaca",
        "path": path,
        "instruction": None,
        "answer_characters": (1, 8000),
        "train_rows": None,
        "held_out_rows": 2,
        "min_train_rows": 3,
        "split_seed": 0,
    }
    return DataConfig(**{**defaults, **changes})


def write_rows(path: Path, rows: list[Any]) -> Path:
    """Write a JSON list, or JSON lines if the name says so."""
    if path.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = json.dumps(rows, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


def turn(question: str, answer: str) -> tuple[Message, ...]:
    """Return one question and its answer as messages."""
    return ({"role": "user", "content": question}, {"role": "assistant", "content": answer})


def record(question: str, answer: str, line: int = 1) -> Record:
    """Return a record of one turn."""
    return Record(turn(question, answer), line)
