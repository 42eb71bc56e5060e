"""An evaluation loads its base itself, or uses one that others use too."""

from pathlib import Path
from typing import Any

import pytest

from loraflow.evaluate.measuring import Measuring
from loraflow.evaluate.mt_bench.grade import judgments_in
from loraflow.files import write_lines
from loraflow.model import lend
from loraflow.model.lend import ModelLender
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from tests.conftest import composed


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[BaseModel]:
    bases: list[BaseModel] = []

    def counting(base: BaseModel) -> Any:
        bases.append(base)
        return load_base(base)

    monkeypatch.setattr(lend, "load_base", counting)
    return bases


def ask(measuring: Measuring, work: Path) -> None:
    with measuring.arm(None, work).model():
        pass


def test_a_lender_of_others_stays_open(
    tiny_base: BaseModel, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    lender = ModelLender()
    for _ in range(2):
        measuring = Measuring(composed(), tiny_base, tiny_base, lender)
        ask(measuring, tmp_path)
        measuring.close()
    lender.share(tiny_base, unpacked=False)
    assert len(loaded) == 1


def test_without_a_lender_the_base_is_let_go(
    tiny_base: BaseModel, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    measuring = Measuring(composed(), tiny_base, tiny_base)
    for _ in range(2):
        ask(measuring, tmp_path)
    assert len(loaded) == 1
    measuring.close()
    ask(measuring, tmp_path)
    assert len(loaded) == 2


def two_references(folder: Path) -> Path:
    """Write a question whose right answer is told in a file of its own for a vendor's judge."""
    (folder / "reference_answer").mkdir(parents=True)
    question = {"question_id": 1, "category": "math", "turns": ["1+1?", "And 1+2?"]}
    write_lines(folder / "question.jsonl", [question])
    for judge, turns in {"reference": ["2", "3"], "vendor": ["zwei", "drei"]}.items():
        row = {"question_id": 1, "choices": [{"index": 0, "turns": turns}]}
        write_lines(folder / "reference_answer" / f"{judge}.jsonl", [row])
    return folder


def test_all_stages_look_references_up_under_one_name(tiny_base: BaseModel, tmp_path: Path) -> None:
    questions = two_references(tmp_path / "questions")
    config = composed(
        *("evaluate=mt_bench", f"evaluate.mt_bench.questions=[{questions}]"),
        *("evaluate.mt_bench.max_new_tokens=4", "judge=local", "judge.reading=rating"),
    )
    measuring = Measuring(config, tiny_base, tiny_base)
    answered, card, out = (tmp_path / name for name in ("answered", "card", "out"))
    for folder in (answered, card, out):
        folder.mkdir()
    measuring.answer(measuring.arm(None, tmp_path / "work"), "base", out=answered)
    measuring.examine_bench(tmp_path / "examined", out=card)
    measuring.grade_bench(answered, card, tmp_path / "graded", out=out)
    prompts = [row["user_prompt"] for row in judgments_in(out)]
    assert len(prompts) == 2 and all("zwei" not in prompt for prompt in prompts)
