"""Answers are kept in FastChat's shape; an error's text is never an answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from loraflow.errors import UserError
from loraflow.evaluate.mt_bench.answers import ModelAnswers, read_answers, write_answers
from loraflow.files import read_lines


def row(number: int, *turns: str, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "turns": list(turns), **more}, {"index": 1, "turns": ["other"]}]
    return {
        "question_id": number,
        "answer_id": "x",
        "model_id": "m",
        "choices": choices,
        "tstamp": 1.5,
    }


def read(path: Path, *rows: dict[str, Any]) -> ModelAnswers:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return read_answers(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    answers = ModelAnswers(
        "org/model", {2: ("", "b"), 1: ("\ud83d",)}, {2: (True, False), 1: (True,)}
    )
    path = write_answers(tmp_path / "model_answer", answers)
    assert path == tmp_path / "model_answer" / "org--model.jsonl"
    assert read_answers(path) == answers
    first, second = read_lines(path)
    assert list(second) == ["question_id", "answer_id", "model_id", "choices", "tstamp"]
    assert second["choices"] == [{"index": 0, "turns": ["", "b"], "ended": [True, False]}]
    assert first["answer_id"] != second["answer_id"]


def test_the_same_answers_are_the_same_bytes(tmp_path: Path) -> None:
    one = write_answers(tmp_path / "1", ModelAnswers("m", {1: ("a",), 2: ("b",)}))
    other = write_answers(tmp_path / "2", ModelAnswers("m", {2: ("b",), 1: ("a",)}))
    assert one.read_bytes() == other.read_bytes()


def test_fastchats_files_are_sorted_and_the_last_of_a_question_wins(tmp_path: Path) -> None:
    answers = read(tmp_path / "m.jsonl", row(2, "b", "c"), row(1, "old"), row(1, "new", "d"))
    assert answers == ModelAnswers("m", {1: ("new", "d"), 2: ("b", "c")})
    assert list(answers.turns) == [1, 2]


def test_the_file_names_the_model_as_in_fastchat(tmp_path: Path) -> None:
    assert read(tmp_path / "renamed.jsonl", row(1, "a")).model == "renamed"


def test_texts_of_errors_are_missing_and_counted(tmp_path: Path) -> None:
    answers = read(
        tmp_path / "m.jsonl",
        row(1, "ERROR", "said after an error"),
        row(2, "fine", "$ERROR$", ended=[True, False]),
        row(3, "ERROR: this is an answer", "ERROR"),
        row(4, "ERROR", "ERROR"),
        row(4, "again", "whole"),
    )
    assert answers.turns == {
        2: ("fine",),
        3: ("ERROR: this is an answer",),
        4: ("again", "whole"),
    }
    assert answers.ended == {2: (True,)}
    assert answers.error_texts == 3
    assert answers.up_to(2, 1) == ("fine",)
    assert answers.up_to(2, 2) is None
    assert answers.up_to(1, 1) is None


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"question_id": 1}, "choices=None"),
        ({"question_id": 1, "choices": [{"turns": [1]}]}, "choices="),
        (row(1, "a", ended="yes"), "ended='yes'"),
        ({"choices": [{"turns": ["a"]}]}, "question_id=None"),
    ],
)
def test_bad_lines_are_named(bad: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"m\.jsonl, line 2: {match}.*correct this line"):
        read(tmp_path / "m.jsonl", row(7, "a"), bad)
