"""The Chinese questions are whole, and every reference is right: a program has found it too."""

import re
from collections.abc import Container
from itertools import groupby
from typing import Any

import pytest

from loraflow.evaluate.mt_bench.questions import CATEGORIES, Question, load_questions
from tests.evaluate.mt_bench.solutions_zh_coding import CHECKS
from tests.evaluate.mt_bench.solutions_zh_extraction import TASKS
from tests.evaluate.mt_bench.solutions_zh_math import SOLVE as MATH
from tests.evaluate.mt_bench.solutions_zh_reasoning import SOLVE as REASONING

QUESTIONS = load_questions("zh", "reference")
SOLVE = REASONING | MATH
CHECKED = {"reasoning", "math", "coding", "extraction"}
NOT_CHECKED: dict[int, str] = {}  # the id of a reference that no program can check, and why


def each_turn(ids: Container[int]) -> pytest.MarkDecorator:
    """Run a test for both turns of these questions."""
    cases = [
        pytest.param(question, turn, id=f"{question.id}-{turn + 1}")
        for question in QUESTIONS
        if question.id in ids
        for turn in (0, 1)
    ]
    return pytest.mark.parametrize(("question", "turn"), cases)


def test_there_are_ten_questions_a_category() -> None:
    found = [(category, len(list(row))) for category, row in groupby(q.category for q in QUESTIONS)]
    assert found == [(category, 10) for category in CATEGORIES]
    assert [question.id for question in QUESTIONS] == list(range(2001, 2081))


def test_no_turn_stands_there_twice() -> None:
    turns = [turn for question in QUESTIONS for turn in question.turns]
    assert len(set(turns)) == len(turns) == 160


@each_turn(range(2001, 2081))
def test_turn_is_mostly_chinese(question: Question, turn: int) -> None:
    letters = [char for char in question.turns[turn] if char.isalpha()]
    assert sum("\u4e00" <= char <= "\u9fff" for char in letters) > len(letters) / 2


def test_every_reference_has_two_turns_and_a_check() -> None:
    checked = [question for question in QUESTIONS if question.category in CHECKED]
    assert all(len(question.references) == 2 for question in checked)
    assert all(reference.strip() for question in checked for reference in question.references)
    checks = [*SOLVE, *CHECKS, *TASKS, *NOT_CHECKED]
    assert checks == [question.id for question in checked]


@each_turn(SOLVE)
def test_reference_ends_in_the_computed_answer(question: Question, turn: int) -> None:
    assert question.references[turn].endswith(f"答案：{SOLVE[question.id][turn]()}。")


@each_turn(CHECKS)
def test_reference_code_runs(question: Question, turn: int) -> None:
    [code] = re.findall(r"```python\n(.*?)```", question.references[turn], re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    CHECKS[question.id][turn](namespace)


@each_turn(TASKS)
def test_reference_holds_what_the_passage_says(question: Question, turn: int) -> None:
    task = TASKS[question.id][turn]
    asked = "\n".join(question.turns[: turn + 1])
    assert task.read(question.references[turn]) == task.expect(asked)
