"""Options behind one question are as likely as each would be alone."""

from pathlib import Path
from typing import Any

import pytest
import torch

from loraflow.data.records import Record
from loraflow.evaluate.branches import Branched, _one_by_one, likelihoods
from loraflow.evaluate.options import choose
from loraflow.evaluate.probe import probe, read_probes
from loraflow.files import read_lines
from loraflow.model.load import load_for_answers
from loraflow.model.source import BaseModel
from tests.data.tokens import chat, training
from tests.evaluate.arms import Task, make_arm

LONG = [[50 + n % 300 for n in range(size)] for size in (600, 500, 7)]
ASKED = [
    Branched([10, 11, 12], [[20], [21, 22, 23], [24, 25]]),
    Branched([10], [[30, 31], [30, 32]]),
    Branched([7, 8, 9, 10, 11, 12, 13], [[40, 41, 42, 43], [], [44]]),
    Branched([9, 8], LONG),
]


def by_hand(model: Any, prompt: list[int], option: list[int]) -> float:
    ids = torch.tensor([[*prompt, *option]])
    with torch.no_grad():
        logs = model(ids).logits[0].log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) - 1 + len(option))
    return sum(float(logs[place, token]) for place, token in zip(places, option, strict=True))


def test_likelihoods_are_those_of_each_option_alone(tiny_base: BaseModel) -> None:
    model = load_for_answers(tiny_base, None)
    found = likelihoods(model, ASKED, "")
    for asked, row in zip(ASKED, found, strict=True):
        expected = [by_hand(model, asked.prompt, option) for option in asked.branches]
        assert row == pytest.approx(expected, rel=1e-4)
    for row, other in zip(found, _one_by_one(model, ASKED), strict=True):
        assert row == pytest.approx(other, rel=1e-4)


def test_the_likeliest_option_is_chosen(tiny_base: BaseModel, tmp_path: Path) -> None:
    arm = make_arm(tiny_base, tmp_path)
    question = [{"role": "user", "content": "Which?"}]
    texts = ["file", "name of the path", "好"]
    with arm.model() as model:
        (item,) = choose(arm, model, [question], [texts], [1])
        prompt = arm.ask(arm.tokenizer(), question)
        ids = arm.chat(arm.tokenizer()).answer_ids(question, texts)
        nats = [by_hand(model, prompt, option) for option in ids]
    best = nats.index(max(nats))
    assert item["chosen"] == best
    assert item["choice_correct"] == float(best == 1)


def test_held_out_rows_with_options_are_chosen_from(tiny_base: BaseModel, tmp_path: Path) -> None:
    asked = "家父是谁?\nA. 甄远道\nB. name"
    row: Record = chat(asked, "A. 甄远道", kind="choice", label="A", choices=("甄远道", "name"))
    task = Task(tmp_path, tiny_base, training(96), [row, chat("Who?", "Me.")], form="native")
    items, summary = task.measure()
    assert items[0]["choice_correct"] in (0.0, 1.0)
    assert "choice_correct" not in items[1]
    assert summary["metrics"]["choice_accuracy"] == items[0]["choice_correct"]


def test_probes_are_measured_item_by_item(tiny_base: BaseModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    summary = probe(make_arm(tiny_base, tmp_path / "work"), out=out)
    items = read_lines(out / "items.jsonl")
    assert [item["id"] for item in items] == [row["id"] for row in read_probes("en")]
    right = sum(item["chosen"] == item["answer"] for item in items)
    assert summary["metrics"]["choice_accuracy"] == pytest.approx(right / len(items))
