"""The stage learns, twice the same, and reports what it did."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from loraflow.config import AdapterConfig, TrainConfig
from loraflow.data.template import IGNORED
from loraflow.files import HISTORY, read_lines
from loraflow.model.source import BaseModel
from loraflow.train.run import train
from tests.conftest import composed

ADAPTER = AdapterConfig(4, 8, 0.1, ["q_proj", "v_proj"])
Measured = list[tuple[str, float, int]]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Twelve rows of different lengths that all answer with the same three tokens."""
    rows = [
        {
            "id": str(n),
            "input_ids": [*range(10, 14 + n), 5, 6, 1],
            "labels": [IGNORED] * (4 + n) + [5, 6, 1],
        }
        for n in range(12)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    return tmp_path


@pytest.fixture
def run(tokens: Path, tmp_path: Path) -> Callable[..., Path]:
    """Train into a new folder and return it."""

    def start(base: BaseModel, name: str = "out", measured: Measured | None = None) -> Path:
        out = tmp_path / name
        out.mkdir()
        log = measured if measured is not None else []
        train(
            ADAPTER,
            settings(),
            base=base,
            tokens=tokens,
            log_metric=lambda *values: log.append(values),
            out=out,
        )
        return out

    return start


def settings() -> TrainConfig:
    return composed(
        "train.max_steps=6", "train.per_device_train_batch_size=4", "train.learning_rate=0.1"
    ).train


@pytest.mark.parametrize("held", ["tiny_base", "tiny_nf4_base"])
def test_same_seed_gives_the_same_adapter_to_the_bit(
    held: str, run: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    base = request.getfixturevalue(held)
    file = "adapter/adapter_model.safetensors"
    first, second = (load_file(run(base, name) / file) for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(tensor.dtype == torch.float32 for tensor in first.values())


def test_loss_falls(run: Callable[..., Path], tiny_nf4_base: BaseModel) -> None:
    history = read_lines(run(tiny_nf4_base) / HISTORY)
    losses = [row["train/loss"] for row in history]
    assert losses[-1] < losses[0] - 0.3


def test_every_step_is_reported_and_written_down(
    run: Callable[..., Path], tiny_base: BaseModel
) -> None:
    live: Measured = []
    out = run(tiny_base, measured=live)
    written = [
        (name, value, row["step"])
        for row in read_lines(out / HISTORY)
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
    run: Callable[..., Path], tiny_base: BaseModel
) -> None:
    out = run(tiny_base)
    written = {path.name for path in (out / "adapter").iterdir()}
    assert written == {"adapter_model.safetensors", "adapter_config.json", "README.md"}
    assert not list(out.rglob("*.bin")) + list(out.rglob("*.pt"))
