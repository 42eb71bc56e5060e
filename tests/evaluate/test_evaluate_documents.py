"""A document's loss is that of all its windows, and nothing is generated."""

import math
from pathlib import Path

import pytest
import torch

from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from tests.data.tokens import document, training
from tests.evaluate.arms import Task, check_foretold

LONG, SHORT = document("家父是大理寺少卿甄远道。" * 9), document("Return the name of the file.")


@pytest.fixture
def task(tiny_base: BaseModel, tmp_path: Path) -> Task:
    return Task(tmp_path, tiny_base, training(24, "windows", "text"), [LONG, SHORT], form="text")


def test_windows_are_joined(task: Task) -> None:
    items, summary = task.measure()
    assert [item["id"] for item in items] == [LONG.id, SHORT.id]
    assert items[0]["windows"] > 2
    assert items[1]["windows"] == 1
    assert summary["windows"] == sum(item["windows"] for item in items)
    assert summary["counts"] == {"items": 2}


def test_metrics_are_weighted_by_tokens_and_bytes(task: Task) -> None:
    items, summary = task.measure()
    nats = sum(item["loss"] * item["tokens"] for item in items)
    metrics = summary["metrics"]
    assert metrics["loss"] == pytest.approx(nats / sum(item["tokens"] for item in items))
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["loss"]))
    size = sum(item["bytes"] for item in items)
    assert metrics["bits_per_byte"] == pytest.approx(nats / math.log(2) / size)
    assert set(metrics) == {"loss", "perplexity", "bits_per_byte", "token_accuracy"}
    check_foretold("text", summary)
    assert "answer" not in items[0]


def test_a_document_in_one_window_has_the_models_own_loss(task: Task, tiny_base: BaseModel) -> None:
    item = task.measure()[0][1]
    ids = torch.tensor([task.tokens.examples("held_out")[-1]["input_ids"]])
    with torch.no_grad():
        own = float(load_base(tiny_base)(ids, labels=ids).loss)
    assert item["loss"] == pytest.approx(own, rel=1e-5)
    assert item["tokens"] == ids.shape[1] - 1


def test_bytes_are_those_of_the_foretold_text(task: Task) -> None:
    for item, row in zip(task.measure()[0], (LONG, SHORT), strict=True):
        whole = len(row.answer.encode())
        assert whole - 12 <= item["bytes"] < whole  # all but the first token
        assert item["text"] == row.answer[:300]
