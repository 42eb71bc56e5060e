"""Answers as FastChat keeps them: model_answer/<model>.jsonl, one question a line."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loraflow.evaluate.mt_bench.rows import Row, file_name, read_rows
from loraflow.files import write_lines

_ERROR_TEXTS = frozenset({"ERROR", "$ERROR$"})  # what FastChat writes where there is no answer
_ID_LENGTH = 22  # characters, as FastChat's


@dataclass(frozen=True)
class ModelAnswers:
    """What a model answered. After an answer that failed there is none: it lacked its history."""

    model: str
    turns: Mapping[int, tuple[str, ...]]  # by question id
    ended: Mapping[int, tuple[bool, ...]] = field(default_factory=dict)  # by itself; else cut
    error_texts: int = 0  # answers that were the text of an error, and are missing here

    def up_to(self, question_id: int, turn: int) -> tuple[str, ...] | None:
        """Return the answers to the turns 1 to `turn`; None if one of them is missing."""
        turns = self.turns.get(question_id, ())
        return turns[:turn] if len(turns) >= turn else None


def write_answers(folder: Path, answers: ModelAnswers) -> Path:
    """Write <model>.jsonl to `folder`, sorted, the same bytes for the same answers."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file_name(answers.model)}.jsonl"
    write_lines(path, (_row(answers, number) for number in sorted(answers.turns)))
    return path


def read_answers(path: Path) -> ModelAnswers:
    """Read a file of FastChat's or of ours; of a question that stands there twice, the last.

    Raises:
        UserError: if a line is bad.
    """
    rows = {row.integer("question_id"): row for row in read_rows(path, "model_answer")}
    turns = {number: rows[number].first_choice() for number in sorted(rows)}
    whole = {number: _before_error(texts) for number, texts in turns.items()}
    ended = {number: _ended(rows[number])[: len(texts)] for number, texts in whole.items()}
    return ModelAnswers(
        model=_model_of(path, rows.values()),
        turns={number: texts for number, texts in whole.items() if texts},
        ended={number: flags for number, flags in ended.items() if flags},
        error_texts=sum(text in _ERROR_TEXTS for texts in turns.values() for text in texts),
    )


def _row(answers: ModelAnswers, number: int) -> dict[str, Any]:
    turns = answers.turns[number]
    choice: dict[str, Any] = {"index": 0, "turns": list(turns)}
    if number in answers.ended:
        choice["ended"] = list(answers.ended[number])
    return {
        "question_id": number,
        "answer_id": _answer_id(number, answers.model, turns),
        "model_id": answers.model,
        "choices": [choice],
        "tstamp": 0,  # the clock would make equal answers different files
    }


def _answer_id(number: int, model: str, turns: tuple[str, ...]) -> str:
    content = json.dumps([number, model, turns])
    return hashlib.sha256(content.encode()).hexdigest()[:_ID_LENGTH]


def _before_error(turns: tuple[str, ...]) -> tuple[str, ...]:
    """Cut at the first error: what comes after it answers a conversation that never was."""
    errors = (place for place, text in enumerate(turns) if text in _ERROR_TEXTS)
    return turns[: next(errors, len(turns))]


def _ended(row: Row) -> tuple[bool, ...]:
    """Return what only our files say."""
    flags = row.fields["choices"][0].get("ended", [])
    if not isinstance(flags, list) or not all(isinstance(flag, bool) for flag in flags):
        raise row.error("ended", flags, "a list of true and false, one a turn")
    return tuple(flags)


def _model_of(path: Path, rows: Iterable[Row]) -> str:
    """Return the model's name: that of the file, as in FastChat, its slash put back."""
    ids = (row.fields.get("model_id") for row in rows)
    return next((i for i in ids if isinstance(i, str) and file_name(i) == path.stem), path.stem)
