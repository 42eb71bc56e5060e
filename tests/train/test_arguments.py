"""A process trains on one GPU, however many it sees."""

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from loraflow.model.source import BaseModel
from loraflow.train.build import build_trainer
from loraflow.train.job import Job
from tests.train.trainings import settings, write_rows


def see_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    own: Any = TrainingArguments.__dict__["_setup_devices"]

    def set_up(arguments: Any) -> Any:
        device = own.func(arguments)
        arguments._n_gpu = 2
        return device

    two = cached_property(set_up)
    two.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", two)


@pytest.mark.parametrize("task", ["sft", "preference", "classify"])
def test_a_second_gpu_makes_no_batch_larger(
    task: str, tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    see_two_gpus(monkeypatch)
    tokens = write_rows(tmp_path / "tokens")
    adapter, training = settings(f"train={task}", "train.max_steps=1")
    job = Job(adapter, training, tiny_base, tokens, None, tmp_path / "work", lambda *_: None)
    arguments = build_trainer(job).args
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 4)
