"""The stage learns, twice the same, and reports what it did."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from loraflow.files import HISTORY, read_json, read_lines
from loraflow.model.source import BaseModel
from loraflow.train.job import Job
from loraflow.train.run import train
from tests.train.trainings import ROWS, settings, train_rows, write_rows

ADAPTER = "adapter/adapter_model.safetensors"
STEPS = "train.max_steps=6"
Measured = list[tuple[str, float, int]]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Rows that answer with one of two things."""
    return write_rows(tmp_path / "tokens")


@pytest.mark.parametrize("held", ["tiny_base", "tiny_nf4_base"])
def test_same_seed_gives_the_same_adapter_to_the_bit(
    held: str, tokens: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base: BaseModel = request.getfixturevalue(held)
    for name in ("first", "second"):
        train_rows(base, tokens, tmp_path / name, STEPS)
    first, second = (load_file(tmp_path / name / ADAPTER) for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(tensor.dtype == torch.float32 for tensor in first.values())


def test_another_seed_gives_another_adapter(
    tokens: Path, tmp_path: Path, tiny_base: BaseModel
) -> None:
    for seed in (0, 1):
        train_rows(tiny_base, tokens, tmp_path / str(seed), STEPS, f"train.seed={seed}")
    first, second = (load_file(tmp_path / str(seed) / ADAPTER) for seed in (0, 1))
    assert not any(torch.equal(first[name], second[name]) for name in first)


def test_loss_falls(tokens: Path, tmp_path: Path, tiny_nf4_base: BaseModel) -> None:
    fast = ("train.max_steps=12", "train.learning_rate=0.1")
    train_rows(tiny_nf4_base, tokens, tmp_path / "out", *fast)
    losses = [row["train/loss"] for row in read_lines(tmp_path / "out" / HISTORY)]
    assert losses[-1] < losses[0] - 0.3


def test_every_step_is_reported_and_written_down(
    tokens: Path, tmp_path: Path, tiny_base: BaseModel
) -> None:
    live: Measured = []
    adapter, training = settings(STEPS)
    (tmp_path / "out").mkdir()
    log = lambda *values: live.append(values)  # noqa: E731 - a recorder in place of the tracker
    job = Job(adapter, training, tiny_base, tokens, None, tmp_path / "work", log)
    train(job, out=tmp_path / "out")
    written = [
        (name, value, row["step"])
        for row in read_lines(tmp_path / "out" / HISTORY)
        for name, value in row.items()
        if name != "step"
    ]
    assert live == written
    assert {step for _, _, step in live} == {1, 2, 3, 4, 5, 6}
    assert {name for name, _, _ in live} == {
        "train/loss",
        "train/learning_rate",
        "train/gradient_norm",
        "train/tokens_per_second",
    }


def test_only_the_adapter_is_written_and_only_as_safetensors(
    tokens: Path, tmp_path: Path, tiny_base: BaseModel
) -> None:
    train_rows(tiny_base, tokens, tmp_path / "out", STEPS)
    written = {path.name for path in (tmp_path / "out" / "adapter").iterdir()}
    assert written == {"adapter_model.safetensors", "adapter_config.json", "README.md"}
    everything = [*(tmp_path / "out").rglob("*"), *(tmp_path / "out-work").rglob("*")]
    assert not [path for path in everything if path.suffix in (".bin", ".pt", ".pth", ".pkl")]


def test_an_epoch_reads_every_row_once(tokens: Path, tmp_path: Path, tiny_base: BaseModel) -> None:
    result = train_rows(tiny_base, tokens, tmp_path / "out", "train.num_train_epochs=1")
    lengths = [4 + number % 9 + 3 for number in range(ROWS)]
    assert result["counts"]["tokens"] == sum(lengths)
    assert result["counts"]["steps"] == ROWS / 8


def test_the_scale_is_reported(tokens: Path, tmp_path: Path, tiny_base: BaseModel) -> None:
    fixed = ("adapter.alpha_mode=fixed", "adapter.alpha=32", "adapter.r=4")
    result = train_rows(tiny_base, tokens, tmp_path / "out", "train.max_steps=1", *fixed)
    assert result["metrics"]["train/scale"] == 8
    assert read_json(tmp_path / "out/adapter/adapter_config.json")["lora_alpha"] == 32


def test_nothing_is_trained_in_the_arm_without_an_adapter(
    tokens: Path, tmp_path: Path, tiny_base: BaseModel
) -> None:
    result = train_rows(tiny_base, tokens, tmp_path / "out", "adapter=none", "adapter.dropout=0")
    assert result["counts"] == {"trainable_parameters": 0, "steps": 0}
    assert [path.name for path in (tmp_path / "out").iterdir()] == [HISTORY]


def test_checkpoints_leave_no_more_than_they_should(
    tokens: Path, tmp_path: Path, tiny_base: BaseModel
) -> None:
    train_rows(tiny_base, tokens, tmp_path / "out", "train.max_steps=10")
    kept = sorted(path.name for path in (tmp_path / "out-work" / "checkpoints").iterdir())
    assert kept == ["step-00000008", "step-00000010"]
