"""What the tests of the trainers share: a job on the tiny model, its rows, and an adapter."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from loraflow.data.template import IGNORED
from loraflow.model.source import BaseModel
from loraflow.train.job import Job
from loraflow.train.trainer import StageTrainer
from tests.conftest import composed

Row = dict[str, Any]


def make_job(base: BaseModel, folder: Path, rows: Sequence[Row], *overrides: str) -> Job:
    """Write `rows` as tokens and return a training on them."""
    tokens = folder / "tokens"
    tokens.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), tokens / "train.parquet")
    config = composed("train.warmup_steps=0", *overrides)
    return Job(config.adapter, config.train, base, tokens, None, folder / "work", lambda *_: None)


def with_settings(job: Job, **changed: Any) -> Job:
    return replace(job, settings=replace(job.settings, **changed))


def basic_arguments(job: Job) -> dict[str, Any]:
    """Return arguments as `training_arguments` makes them, in float32 on the CPU."""
    settings = job.settings
    return {
        "output_dir": str(job.work / "trainer"),
        "max_steps": settings.max_steps or -1,
        "num_train_epochs": settings.num_train_epochs,
        "per_device_train_batch_size": settings.per_device_train_batch_size,
        "per_device_eval_batch_size": settings.per_device_train_batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "learning_rate": settings.learning_rate,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "remove_unused_columns": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
    }


def pair(number: int) -> Row:
    """A prompt whose length depends on `number`, and two answers of different lengths."""
    prompt = [*range(10, 14 + number % 5)]
    chosen, rejected = [20 + number, 6, 1], [40, 41 + number, 42, 1]
    return {
        "id": f"pair-{number}",
        "input_ids": prompt + chosen,
        "labels": [IGNORED] * len(prompt) + chosen,
        "rejected_ids": prompt + rejected,
        "rejected_labels": [IGNORED] * len(prompt) + rejected,
    }


def with_lora(model: Any, *, moved: float = 0.0, **options: Any) -> Any:
    """Return `model` with a LoRA adapter; `moved`: as if it had been trained already."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", **options)
    adapted = get_peft_model(model, config)
    move(adapted, moved)
    return adapted


def move(model: Any, by: float) -> None:
    """Change every B matrix by random values."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B.default" in name:
                value.add_(torch.randn_like(value) * by)


class ScriptedTrainer(StageTrainer, Trainer):  # type: ignore[misc]
    """Has the loss that its row says, one row a step in their order; looks are scripted too."""

    looks: dict[int, float]  # step -> loss on the rows apart

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(self.train_dataset)

    def compute_loss(self, model: Any, inputs: Row, *_: Any, **__: Any) -> Tensor:
        self.note_rows(inputs.pop("row_ids"), [7])
        weight = next(model.parameters())
        loss: Tensor = inputs["losses"].sum() + 0.01 * weight.sum() * inputs["losses"].sum()
        return loss

    def prediction_step(self, *_: Any, **__: Any) -> tuple[Tensor, None, None]:
        return torch.tensor(self.looks[self.state.global_step]), None, None


def scripted(
    base: BaseModel, folder: Path, losses: Sequence[float], *overrides: str, **arguments: Any
) -> ScriptedTrainer:
    """Return a trainer of one weight whose steps have `losses`."""
    rows = [{"id": f"row-{n}", "input_ids": [0], "loss": loss} for n, loss in enumerate(losses)]
    job = make_job(base, folder, rows, f"train.max_steps={len(losses)}", *overrides)
    job = with_settings(
        job, per_device_train_batch_size=1, gradient_accumulation_steps=1, learning_rate=1e-3
    )
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    trainer = ScriptedTrainer(
        model=model,
        args=TrainingArguments(**basic_arguments(job) | arguments),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:1]),
        data_collator=lambda rows: {
            "losses": torch.tensor([row["loss"] for row in rows]),
            "row_ids": [row["id"] for row in rows],
        },
    )
    trainer.job = job
    return trainer
