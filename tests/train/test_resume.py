"""An interrupted training ends with the adapter of an unbroken one, to the bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from loraflow.files import read_lines
from loraflow.model.source import BaseModel
from loraflow.train.checkpoint import newest_checkpoint
from loraflow.train.trainer import StageTrainer
from tests.train.trainings import train_rows, write_rows


class Killed(BaseException):
    """Stands for the end of the process."""


def same_adapter(one: Path, other: Path) -> bool:
    file = "adapter/adapter_model.safetensors"
    first, second = load_file(one / file), load_file(other / file)
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def break_off(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the training end in mid-step, once."""
    own = StageTrainer.training_step

    def training_step(self: StageTrainer, *args: object, **kwargs: object) -> torch.Tensor:
        if self.state.global_step == step:
            monkeypatch.setattr(StageTrainer, "training_step", own)
            raise Killed
        return own(self, *args, **kwargs)

    monkeypatch.setattr(StageTrainer, "training_step", training_step)


VARIANTS = {
    "packed": [],
    "padded": ["train.speed.packing=false"],
    "second epoch": ["train.per_device_train_batch_size=8", "train.num_train_epochs=4"],
    "accumulated": ["train.gradient_accumulation_steps=3"],
    "8-bit optimizer": ["train.optim=adamw_8bit"],
    "early stopping": ["train.early_stopping={rows: 8, steps: 2, patience: 2}"],
    "dora": ["adapter.use_dora=true"],
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("held", ["tiny_base", "tiny_nf4_base"])
def test_a_training_broken_off_goes_on_to_the_same_adapter(
    held: str,
    variant: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base: BaseModel = request.getfixturevalue(held)
    tokens = write_rows(tmp_path / "tokens")
    overrides = [*VARIANTS[variant], "train.max_steps=12"]
    train_rows(base, tokens, tmp_path / "whole", *overrides)
    break_off(monkeypatch, step=7)
    with pytest.raises(Killed):
        train_rows(base, tokens, tmp_path / "broken", *overrides)
    assert newest_checkpoint(tmp_path / "broken-work" / "checkpoints").step == 6  # type: ignore[union-attr]
    train_rows(base, tokens, tmp_path / "broken", *overrides)
    assert same_adapter(tmp_path / "whole", tmp_path / "broken")


def test_the_history_of_a_resumed_training_has_each_step_once(
    tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = write_rows(tmp_path / "tokens")
    break_off(monkeypatch, step=5)
    with pytest.raises(Killed):
        train_rows(tiny_base, tokens, tmp_path / "out", "train.max_steps=8")
    result = train_rows(tiny_base, tokens, tmp_path / "out", "train.max_steps=8")
    steps = [row["step"] for row in read_lines(tmp_path / "out" / "history.jsonl")]
    assert steps == list(range(1, 9))
    whole = train_rows(tiny_base, tokens, tmp_path / "whole", "train.max_steps=8")
    assert result["counts"] == whole["counts"]


def test_from_a_damaged_checkpoint_the_one_before_is_taken(
    tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = write_rows(tmp_path / "tokens")
    train_rows(tiny_base, tokens, tmp_path / "whole", "train.max_steps=8")
    break_off(monkeypatch, step=7)
    with pytest.raises(Killed):
        train_rows(tiny_base, tokens, tmp_path / "broken", "train.max_steps=8")
    newest = newest_checkpoint(tmp_path / "broken-work" / "checkpoints")
    assert newest is not None
    (newest.folder / "tensors.safetensors").write_bytes(b"not what was written")
    train_rows(tiny_base, tokens, tmp_path / "broken", "train.max_steps=8")
    assert same_adapter(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("quantization", [pytest.param("none", marks=pytest.mark.slow), "nf4"])
def test_kill_9_at_twenty_random_moments_changes_nothing(
    quantization: str, tiny_folder: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tokens = write_rows(tmp_path / "tokens")
    base = request.getfixturevalue("tiny_nf4_base" if quantization == "nf4" else "tiny_base")
    train_rows(base, tokens, tmp_path / "whole", "train.max_steps=60")
    command = [sys.executable, "-m", "tests.train.trainings", str(tiny_folder), str(tokens)]
    command += [str(tmp_path / "killed"), quantization, "10", "train.max_steps=60"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("10")  # so many were killed
    assert same_adapter(tmp_path / "whole", tmp_path / "killed")
