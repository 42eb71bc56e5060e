"""What a training reports is on disk before anybody else hears of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Never

import pytest
from tqdm import tqdm
from transformers import TrainerControl, TrainerState, TrainingArguments

from loraflow.errors import Pruned
from loraflow.files import HISTORY, read_lines
from loraflow.train.report import Report


def prune(name: str, value: float, step: int) -> Never:
    raise Pruned(f"{name} is {value} at step {step}")


def test_the_look_that_ends_a_training_is_in_its_history(tmp_path: Path) -> None:
    args = TrainingArguments(str(tmp_path), use_cpu=True)
    with (tmp_path / HISTORY).open("w") as history, tqdm(disable=True) as bar:
        report = Report(SimpleNamespace(tokens_read=0), history=history, bar=bar, log=prune)
        with pytest.raises(Pruned):
            report.on_log(args, TrainerState(global_step=2), TrainerControl(), {"eval_loss": 3.0})
    assert read_lines(tmp_path / HISTORY) == [{"step": 2, "train/validation_loss": 3.0}]
