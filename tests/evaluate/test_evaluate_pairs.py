"""A model prefers the answer that it finds likelier."""

import math
from pathlib import Path

import pytest
import torch

from loraflow.data.template import IGNORED
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from tests.data.tokens import pair, training
from tests.evaluate.arms import Task, check_foretold

ROWS = [
    pair("你是谁？", "家父是大理寺少卿甄远道。", rejected="我是"),
    pair("Who?", "Me.", rejected="Return the name of the file that is not there."),
]
NAMES = ("prefers_chosen", "chosen_margin", "prefers_per_token", "margin_per_token")


@pytest.fixture
def task(tiny_base: BaseModel, tmp_path: Path) -> Task:
    return Task(tmp_path, tiny_base, training(128, task="preference"), ROWS, form="native")


def log_likelihood(base: BaseModel, ids: list[int], labels: list[int]) -> float:
    with torch.no_grad():
        loss = load_base(base)(torch.tensor([ids]), labels=torch.tensor([labels])).loss
    return -float(loss) * sum(label != IGNORED for label in labels)


def test_margin_is_the_difference_of_the_log_likelihoods(task: Task, tiny_base: BaseModel) -> None:
    items, _ = task.measure()
    for item, row in zip(items, task.tokens.examples("held_out"), strict=True):
        chosen = log_likelihood(tiny_base, row["input_ids"], row["labels"])
        rejected = log_likelihood(tiny_base, row["rejected_ids"], row["rejected_labels"])
        assert item["chosen_margin"] == pytest.approx(chosen - rejected, rel=1e-4)
        assert item["prefers_chosen"] == float(chosen > rejected)


def test_the_shorter_answer_wins_by_sum_but_not_by_token(task: Task) -> None:
    items, _ = task.measure()
    assert [item["prefers_chosen"] for item in items] == [0.0, 1.0]
    for item in items:
        per_token = item["rejected_loss"] - item["loss"]
        assert item["margin_per_token"] == pytest.approx(per_token)
        assert item["prefers_per_token"] == float(per_token > 0)


def test_the_metrics_are_the_means_beside_those_of_the_chosen_answers(task: Task) -> None:
    items, summary = task.measure()
    metrics = summary["metrics"]
    for name in NAMES:
        assert metrics[name] == pytest.approx(sum(item[name] for item in items) / 2)
    assert {"bleu", "rougeL", "loss", "cut_share"} < set(metrics)
    check_foretold("preference", summary)
    assert math.isclose(metrics["perplexity"], math.exp(metrics["loss"]))
    assert [item["rejected"] for item in items] == [row.rejected for row in ROWS]
