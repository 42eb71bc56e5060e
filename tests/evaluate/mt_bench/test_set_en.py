"""The English question set: its shape, and references that programs have checked."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from loraflow.files import read_lines
from tests.evaluate.mt_bench.solutions_en import CODE_CASES, EXPECTED, EXTRACTED

SET = Path(str(files("loraflow.evaluate.mt_bench"))) / "sets" / "en"
QUESTIONS = read_lines(SET / "question.jsonl")
REFERENCES = read_lines(SET / "reference_answer" / "reference.jsonl")
CATEGORIES = [
    *["writing", "roleplay", "reasoning", "math"],
    *["coding", "extraction", "stem", "humanities"],
]
CHECKED = {"reasoning", "math", "coding", "extraction"}
TURNS = (0, 1)


def passage_of(number: int) -> str:
    """Return the first turn of a question, which holds the text to extract from."""
    (question,) = (row for row in QUESTIONS if row["question_id"] == number)
    return str(question["turns"][0])


def reference(number: int, turn: int) -> str:
    (row,) = (row for row in REFERENCES if row["question_id"] == number)
    return str(row["choices"][0]["turns"][turn])


def test_each_category_has_ten_questions_in_order() -> None:
    assert [row["question_id"] for row in QUESTIONS] == list(range(1001, 1081))
    expected = [category for category in CATEGORIES for _ in range(10)]
    assert [row["category"] for row in QUESTIONS] == expected


def test_questions_have_the_keys_of_fastchat() -> None:
    assert all(set(row) == {"question_id", "category", "turns"} for row in QUESTIONS)


def test_no_two_turns_are_equal() -> None:
    turns = [turn for row in QUESTIONS for turn in row["turns"]]
    assert len(turns) == len(set(turns)) == 160
    assert all(turn == turn.strip() != "" for turn in turns)


def test_checked_categories_have_a_reference_for_each_turn() -> None:
    needed = [row["question_id"] for row in QUESTIONS if row["category"] in CHECKED]
    assert [row["question_id"] for row in REFERENCES] == needed
    assert all(len(row["choices"][0]["turns"]) == 2 for row in REFERENCES)
    assert all(turn.strip() for row in REFERENCES for turn in row["choices"][0]["turns"])


def test_references_have_the_shape_of_an_answer_of_fastchat() -> None:
    for row in REFERENCES:
        assert row["answer_id"] == f"reference-{row['question_id']}"
        assert (row["model_id"], row["tstamp"]) == ("reference", 0)
        (choice,) = row["choices"]
        assert choice["index"] == 0


def test_every_reference_is_checked_by_a_program() -> None:
    checked = [*EXPECTED, *CODE_CASES, *EXTRACTED]
    assert sorted(checked) == [row["question_id"] for row in REFERENCES]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("number", EXPECTED)
def test_reference_ends_with_the_computed_answer(number: int, turn: int) -> None:
    assert reference(number, turn).splitlines()[-1] == f"Answer: {EXPECTED[number][turn]()}"


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("number", EXTRACTED)
def test_reference_extracts_what_the_passage_says(number: int, turn: int) -> None:
    EXTRACTED[number][turn](passage_of(number), reference(number, turn))


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("number", CODE_CASES)
def test_reference_code_does_what_is_asked(number: int, turn: int) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", reference(number, turn), re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    CODE_CASES[number][turn](namespace)
