"""What a preference training compares with: likelihoods of all answers before its first step."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from loraflow.progress import progress
from loraflow.train.job import Job

FILE = "reference.parquet"  # in job.work
_SCHEMA = pa.schema([("id", pa.string()), ("chosen", pa.float64()), ("rejected", pa.float64())])

Likelihoods = dict[str, tuple[float, float]]
"""Row id -> log-likelihoods of the better and of the worse answer."""


def reference_likelihoods(
    rows: Dataset,
    job: Job,
    accelerator: Any,
    measure: Callable[[list[dict[str, Any]]], Likelihoods],
) -> Likelihoods:
    """Return the likelihoods of all rows, from `job.work` if they were computed before.

    So a resumed training, of several processes too, compares with the same numbers to the bit.
    `measure` computes those of some rows, with the model as it is before the first step.
    """
    path = job.work / FILE
    with accelerator.main_process_first():
        found = _read(path)
        if found.keys() != set(rows["id"]):
            found = _measured(rows, job.settings.per_device_train_batch_size, measure)
            _write(path, found)
    return found


def _measured(
    rows: Dataset, size: int, measure: Callable[[list[dict[str, Any]]], Likelihoods]
) -> Likelihoods:
    lengths = [len(ids) for ids in rows["input_ids"]]
    order = sorted(range(len(rows)), key=lambda place: -lengths[place])  # little padding
    found: Likelihoods = {}
    with progress("reference", len(rows), "pairs") as bar:
        for start in range(0, len(rows), size):
            batch = rows.select(order[start : start + size]).to_list()
            found |= measure(batch)
            bar.update(len(batch))
    return found


def _read(path: Path) -> Likelihoods:
    if not path.is_file():
        return {}
    rows = pq.read_table(path).to_pylist()
    return {row["id"]: (row["chosen"], row["rejected"]) for row in rows}


def _write(path: Path, found: Likelihoods) -> None:
    """Write aside and rename, so that a file that is there is whole."""
    rows = [{"id": key, "chosen": pair[0], "rejected": pair[1]} for key, pair in found.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
