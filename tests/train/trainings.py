"""Small trainings for tests: rows, settings, and processes that are killed in mid-training."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loraflow.config import AdapterConfig, QuantizationConfig, TrainConfig
from loraflow.data.template import IGNORED
from loraflow.files import write_json
from loraflow.model.source import BaseModel
from loraflow.train.job import Job
from tests.conftest import composed

ROWS = 40
SMALL = (  # a step takes some hundredths of a second
    "adapter.target_modules=attention_qv",
    "adapter.r=4",
    "adapter.dropout=0.1",
    "train.per_device_train_batch_size=4",
    "train.checkpoint.steps=2",
    "train.learning_rate=0.01",
)


def write_rows(folder: Path, rows: int = ROWS) -> Path:
    """Write rows of different lengths for every task, and return `folder`."""
    draw = np.random.default_rng(0)
    table = []
    for number in range(rows):
        prompt = draw.integers(10, 200, size=4 + number % 9).tolist()
        answer = [5, 6, 1] if number % 2 else [7, 8, 1]
        table.append(
            {
                "id": f"row{number}",
                "input_ids": prompt + answer,
                "labels": [IGNORED] * len(prompt) + answer,
                "rejected_ids": [*prompt, 9, 1],
                "rejected_labels": [IGNORED] * len(prompt) + [9, 1],
                "label": "odd" if number % 2 else "even",
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table), folder / "train.parquet")
    write_json(folder / "labels.json", ["even", "odd"])
    return folder


def settings(*overrides: str) -> tuple[AdapterConfig, TrainConfig]:
    """Return adapter and training as `overrides` of the default have them."""
    config = composed(*_with_groups_first([*SMALL, *overrides]))
    return config.adapter, config.train


def _with_groups_first(overrides: Sequence[str]) -> list[str]:
    """Let a value win over a group that is chosen behind it, as both do on a command line."""
    return sorted(overrides, key=lambda override: "." in override.partition("=")[0])


def train_rows(
    base: BaseModel,
    tokens: Path,
    out: Path,
    *overrides: str,
    work: Path | None = None,
    **more: Any,  # of the job: start, lender, pause_at
) -> dict[str, Any]:
    """Run the stage on `tokens` into `out`, and return its summary."""
    from loraflow.train.run import train  # noqa: PLC0415 - torch, for those who train

    out.mkdir(parents=True, exist_ok=True)
    adapter, training = settings(*overrides)
    job = Job(
        adapter,
        training,
        base,
        tokens,
        work=work or out.with_name(f"{out.name}-work"),
        log_metric=lambda *_: None,
        **{"start": None, **more},
    )
    return train(job, out=out)


def killed_at_random(
    base: BaseModel, tokens: Path, out: Path, overrides: Sequence[str], kills: int
) -> int:
    """Train in processes of their own: `kills` of them end by kill -9, the last by itself.

    Return how many were killed. The processes are forks: Python and torch are there already.
    """
    draw = np.random.default_rng(1)
    done = 0
    while True:
        child = _fork(base, tokens, out, overrides)
        if done < kills:
            time.sleep(draw.uniform(0.2, 1.0))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return done
        if not os.WIFSIGNALED(status):
            raise RuntimeError(f"the training failed by itself: status {status}")
        done += 1


def _fork(base: BaseModel, tokens: Path, out: Path, overrides: Sequence[str]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            train_rows(base, tokens, out, *overrides)
            status = 0
        finally:
            os._exit(status)
    return child


def main() -> None:
    """Run `killed_at_random` in a process whose torch has started no threads yet."""
    model, tokens, out, quantization, kills, *overrides = sys.argv[1:]
    held = QuantizationConfig(quantization, quantization == "nf4", "float32")  # type: ignore[arg-type]
    base = BaseModel("tiny", Path(model), "0", False, held)
    from loraflow.train import run  # noqa: F401, PLC0415 - once, before the processes part

    sys.stdout.write(str(killed_at_random(base, Path(tokens), Path(out), overrides, int(kills))))


if __name__ == "__main__":
    main()
