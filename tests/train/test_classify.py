"""Labels are learned by encoders and decoders, and the whole head is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from loraflow.files import write_json
from loraflow.model.source import BaseModel
from loraflow.train.classify import LabelTrainer, build_trainer
from loraflow.train.job import Job
from tests.train.trainers import Row, basic_arguments, make_job, with_settings

LABELS = ["bad", "good", "odd"]
QUICK = ("train=classify", "train.per_device_train_batch_size=8", "train.learning_rate=0.01")


def row(number: int) -> Row:
    """A text whose first and last token tell the label; its length does not."""
    clue = 10 + number % 3
    filler = list(range(30, 35 + number % 7))
    ids = [clue, *filler, *filler, clue]
    return {"id": str(number), "input_ids": ids, "labels": [], "label": LABELS[number % 3]}


ROWS = [row(number) for number in range(48)]


def decoder() -> Any:
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=3,
        pad_token_id=1,
    )
    return with_head(LlamaForSequenceClassification, config, ["q_proj", "v_proj"])


def encoder() -> Any:
    config = DistilBertConfig(
        vocab_size=64,
        dim=32,
        hidden_dim=64,
        n_layers=2,
        n_heads=4,
        num_labels=3,
        seq_classif_dropout=0.0,
    )
    return with_head(DistilBertForSequenceClassification, config, ["q_lin", "k_lin", "v_lin"])


def with_head(kind: Any, config: Any, targets: list[str]) -> Any:
    torch.manual_seed(0)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="SEQ_CLS")
    return get_peft_model(kind(config), lora)


MODELS = pytest.mark.parametrize("model", [decoder, encoder])


@pytest.fixture
def job(tiny_base: BaseModel, tmp_path: Path) -> Job:
    job = make_job(tiny_base, tmp_path, ROWS, *QUICK, "train.gradient_accumulation_steps=1")
    write_json(job.tokens / "labels.json", LABELS)
    return job


def built(job: Job, model: Any) -> LabelTrainer:
    return build_trainer(model, job, basic_arguments(job))


def steps(trainer: LabelTrainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


@MODELS
def test_labels_are_learned(job: Job, model: Callable[[], Any]) -> None:
    trainer = built(with_settings(job, num_train_epochs=10.0), model())
    trainer.train()
    last = steps(trainer)[-6:]  # an epoch
    assert sum(entry["train/accuracy"] for entry in last) / 6 > 0.9
    assert last[-1]["loss"] < 0.5


@MODELS
def test_padding_changes_no_answer(job: Job, model: Callable[[], Any]) -> None:
    trainer = built(job, model())
    together = trainer.data_collator(ROWS[:7])
    inputs = {name: together[name] for name in ("input_ids", "attention_mask")}
    trainer.model.eval()
    with torch.no_grad():
        logits = trainer.model(**inputs).logits
        for place in range(7):
            alone = torch.tensor([ROWS[place]["input_ids"]])
            torch.testing.assert_close(
                trainer.model(alone).logits[0], logits[place], rtol=1e-4, atol=1e-5
            )


@MODELS
def test_loss_is_the_models_own(job: Job, model: Callable[[], Any]) -> None:
    trainer = built(job, model())
    trainer.model.eval()  # no dropout
    batch = trainer.data_collator(ROWS[:8])
    theirs = {key: value for key, value in batch.items() if not key.startswith("row_")}
    expected: torch.Tensor = trainer.model(**theirs).loss
    torch.testing.assert_close(trainer.compute_loss(trainer.model, batch), expected)


@MODELS
def test_activations_computed_twice_change_nothing(job: Job, model: Callable[[], Any]) -> None:
    def trained(**more: Any) -> dict[str, torch.Tensor]:
        few = with_settings(job, max_steps=2)
        trainer = build_trainer(model(), few, basic_arguments(few) | more)
        trainer.train()
        return {n: p for n, p in trainer.model.named_parameters() if p.requires_grad}

    twice = {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    }
    plain, doubled = trained(), trained(**twice)
    for name, value in plain.items():
        torch.testing.assert_close(doubled[name], value)


def test_rows_and_tokens_are_accounted_for(job: Job) -> None:
    trainer = built(with_settings(job, num_train_epochs=1.0), decoder())
    trainer.train()
    assert trainer.tokens_read == sum(len(row["input_ids"]) for row in ROWS)
    assert len(trainer.step_rows) == 8


def test_accuracy_is_that_of_all_micro_batches_of_a_step(job: Job) -> None:
    settings = {"gradient_accumulation_steps": 3, "max_steps": 1, "learning_rate": 1e-9}
    trainer = built(with_settings(job, **settings), decoder())
    trainer.train()
    ids = [name for name, _ in trainer.step_rows]
    batch = trainer.data_collator([ROWS[int(name)] for name in ids])
    answers = trainer.model(batch["input_ids"], batch["attention_mask"]).logits.argmax(-1)
    right = (answers == batch["labels"]).float().mean().item()
    assert steps(trainer)[0]["train/accuracy"] == pytest.approx(right)


def test_batches_hold_rows_of_like_length(job: Job) -> None:
    trainer = built(with_settings(job, per_device_train_batch_size=4), decoder())
    spreads = [
        max(batch["row_lengths"]) - min(batch["row_lengths"])
        for batch in trainer.get_train_dataloader()
    ]
    assert sum(spreads) / len(spreads) < 2  # of lengths between 12 and 24


@MODELS
def test_head_is_saved_with_the_adapter(job: Job, model: Callable[[], Any], tmp_path: Path) -> None:
    trainer = built(with_settings(job, max_steps=2), model())
    trainer.train()
    adapted: Any = trainer.model
    adapted.save_pretrained(tmp_path / "adapter")
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    heads = {name for name in saved if "lora_" not in name}
    trained = {
        name.replace(".modules_to_save.default", "")
        for name, value in trainer.model.named_parameters()
        if value.requires_grad and "lora_" not in name
    }
    expected = {"score"} if model is decoder else {"classifier", "pre_classifier"}
    assert heads == trained
    assert {name.split(".")[-2] for name in heads} == expected
