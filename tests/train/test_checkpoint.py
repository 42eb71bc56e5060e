"""A checkpoint is whole or not there, and a damaged one is found."""

import logging
from pathlib import Path

import pytest
import torch

from loraflow.train import checkpoint as module
from loraflow.train.checkpoint import (
    Checkpoint,
    forget_checkpoints,
    newest_checkpoint,
    save_checkpoint,
)


def save(root: Path, step: int, keep: int = 2) -> None:
    tensors = {"a": torch.full((3,), float(step)), "b": torch.arange(4, dtype=torch.uint8)}
    save_checkpoint(root, step, tensors=tensors, state={"step": step}, keep=keep)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    save(tmp_path, 7)
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None and checkpoint.step == 7
    assert torch.equal(checkpoint.tensors()["a"], torch.full((3,), 7.0))
    assert checkpoint.state() == {"step": 7}


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "nowhere") is None
    assert newest_checkpoint(tmp_path) is None


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 10, 6):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000006", "step-00000010"]


def test_a_half_written_one_is_not_taken(tmp_path: Path) -> None:
    save(tmp_path, 2)
    (tmp_path / "step-00000004.partial").mkdir()
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None and checkpoint.step == 2


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json", "digests.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_one_is_reported_and_the_one_before_is_used(
    file: str, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 2)
    save(tmp_path, 4)
    path = tmp_path / "step-00000004" / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-3] if damage == "cut" else content[:-3] + b"zzz")
    with caplog.at_level(logging.WARNING):
        checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None and checkpoint.step == 2
    assert "step-00000004 is damaged" in caplog.text


def test_what_is_not_to_be_built_upon_is_forgotten(tmp_path: Path) -> None:
    save(tmp_path, 2)
    save(tmp_path, 4)
    forget_checkpoints(tmp_path, 4)
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None and checkpoint.step == 2


def test_the_same_step_can_be_saved_again(tmp_path: Path) -> None:
    save(tmp_path, 2)
    save(tmp_path, 2)
    assert newest_checkpoint(tmp_path) is not None


def test_another_process_may_forget_the_same_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Checkpoint(tmp_path / "step-00000004", 4)
    monkeypatch.setattr(module, "_all", lambda root: [gone])
    forget_checkpoints(tmp_path, 2)
