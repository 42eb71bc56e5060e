"""A second turn stands behind the model's own first answer, and what has no room is missing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.config import MtBenchConfig
from loraflow.evaluate.arm import Arm
from loraflow.evaluate.mt_bench.answer import answer_questions, choose_questions, read_questions
from loraflow.evaluate.mt_bench.grade import answers_in
from loraflow.model.source import BaseModel
from tests.evaluate.arms import make_arm

BENCH = MtBenchConfig(questions=["en", "zh"], per_category=1, max_new_tokens=6, games=False)


@pytest.fixture
def arm(tiny_base: BaseModel, tmp_path: Path) -> Arm:
    return make_arm(tiny_base, tmp_path / "work")


def answer(arm: Arm, out: Path, bench: MtBenchConfig = BENCH) -> dict[str, int]:
    out.mkdir()
    summary = answer_questions(arm, bench, model_id="m/odel", judge_name=None, out=out)
    counts: dict[str, int] = summary["counts"]
    return counts


def questions_file(folder: Path, *turns: str) -> Path:
    path = folder / "question.jsonl"
    row = {"question_id": 1, "category": "stem", "turns": list(turns)}
    path.write_text(json.dumps(row), encoding="utf-8")
    return path


def test_one_question_of_each_category_and_set(arm: Arm, tmp_path: Path) -> None:
    questions = choose_questions(BENCH, None)
    assert [question.id // 1000 for question in questions] == [1] * 8 + [2] * 8
    assert len({question.category for question in questions}) == 8


def test_answers_are_in_fastchats_file(arm: Arm, tmp_path: Path) -> None:
    counts = answer(arm, tmp_path / "out")
    given = answers_in(tmp_path / "out")
    assert given.model == "m/odel"
    assert (counts["questions"], counts["answers"], counts["missing"]) == (16, 32, 0)
    assert all(len(turns) == 2 for turns in given.turns.values())
    assert read_questions(tmp_path / "out") == choose_questions(BENCH, None)


def test_the_second_turn_follows_the_models_own_first_answer(arm: Arm, tmp_path: Path) -> None:
    bench = replace(BENCH, questions=[str(questions_file(tmp_path, "First?", "Second?"))])
    answer(arm, tmp_path / "out", bench)
    first, second = answers_in(tmp_path / "out").turns[1]
    tokenizer = arm.tokenizer()
    ids = arm.ask(
        tokenizer,
        [
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": first},
            {"role": "user", "content": "Second?"},
        ],
    )
    journal = (arm.work / "turn_2.jsonl").read_text()
    assert json.loads(journal)[1]["text"] == second
    assert tokenizer.decode(ids).count("First?") == 1


def test_an_answer_without_room_is_missing_and_so_is_what_follows(arm: Arm, tmp_path: Path) -> None:
    long = "word " * 2000
    bench = replace(BENCH, questions=[str(questions_file(tmp_path, "First?", long))])
    assert answer(arm, tmp_path / "out", bench)["missing"] == 1
    assert len(answers_in(tmp_path / "out").turns[1]) == 1
    bench = replace(BENCH, questions=[str(questions_file(tmp_path, long, "Second?"))])
    assert answer(arm, tmp_path / "other", bench)["missing"] == 2


def test_the_same_answers_again(arm: Arm, tiny_base: BaseModel, tmp_path: Path) -> None:
    answer(arm, tmp_path / "one")
    answer(make_arm(tiny_base, tmp_path / "fresh"), tmp_path / "two")
    assert answers_in(tmp_path / "one").turns == answers_in(tmp_path / "two").turns
