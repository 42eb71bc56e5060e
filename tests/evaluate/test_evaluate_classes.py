"""Labels are measured text by text, for encoders and decoders, before and after training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig

from loraflow.model.load import load_classifier, load_trained_classifier
from loraflow.model.source import BaseModel
from tests.data.tokens import labelled, training
from tests.evaluate.arms import Task, check_foretold, save_adapter
from tests.tiny_encoder import make_encoder

LABELS = ["bad", "good", "好"]
ROWS = [
    labelled("a good film", "good"),
    labelled("bad", "bad"),
    labelled("好看", "好"),
    labelled("good good good good", "good"),
]
TARGETS = {"decoder": ["q_proj"], "encoder": ["q_lin"]}


@pytest.fixture(params=TARGETS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def base(kind: str, tiny_base: BaseModel, tmp_path: Path) -> BaseModel:
    return tiny_base if kind == "decoder" else make_encoder(tmp_path / "encoder")


@pytest.fixture
def task(base: BaseModel, tmp_path: Path) -> Task:
    return Task(tmp_path, base, training(32, task="classify"), ROWS, form="native")


def trained_adapter(base: BaseModel, kind: str, trained: Path) -> Any:
    lora = LoraConfig(r=2, target_modules=TARGETS[kind], task_type="SEQ_CLS")
    return save_adapter(load_classifier(base, LABELS, seed=1), lora, trained)


def own_label(model: Any, ids: list[int]) -> str:
    """What the model itself says to a text alone, without padding."""
    with torch.no_grad():
        return LABELS[int(model(torch.tensor([ids])).logits[0].argmax())]


def test_answers_are_those_of_the_trained_model_whatever_the_batch(
    kind: str, base: BaseModel, task: Task, tmp_path: Path
) -> None:
    model = trained_adapter(base, kind, tmp_path / "lora")
    items, summary = task.measure(tmp_path / "lora")
    examples = task.tokens.examples("held_out")
    assert [item["answer"] for item in items] == [
        own_label(model, example["input_ids"]) for example in examples
    ]
    correct = [float(item["answer"] == item["reference"]) for item in items]
    assert [item["correct"] for item in items] == correct
    assert summary["metrics"]["accuracy"] == sum(correct) / len(ROWS)
    assert summary["note"] == ""


def test_the_base_has_a_random_head_and_says_so(task: Task) -> None:
    items, summary = task.measure()
    assert "drawn at random" in summary["note"]
    assert "answer good every time, the commonest label in training, is 0.500" in summary["note"]
    assert [item["prompt"] for item in items] == [row.question for row in ROWS]
    assert set(summary["metrics"]) == {"accuracy", "precision", "recall", "f1", "loss"}
    check_foretold("classify", summary)


def test_the_confusion_matrix_counts_every_text_once(task: Task) -> None:
    items, summary = task.measure()
    confusion = summary["confusion"]
    assert confusion["labels"] == LABELS
    table = confusion["right_by_given"]
    assert [sum(row) for row in table] == [1, 2, 1]
    hits = sum(table[place][place] for place in range(len(LABELS)))
    assert hits == sum(item["correct"] for item in items)


def test_a_whole_trained_model_is_measured(base: BaseModel, task: Task, tmp_path: Path) -> None:
    model = load_classifier(base, LABELS, seed=5).eval()
    model.save_pretrained(tmp_path / "head" / "model")
    items, _ = task.measure(tmp_path / "head")
    examples = task.tokens.examples("held_out")
    assert [item["answer"] for item in items] == [
        own_label(model, example["input_ids"]) for example in examples
    ]
    loaded = load_trained_classifier(base, tmp_path / "head", LABELS)
    assert list(loaded.config.id2label.values()) == LABELS
