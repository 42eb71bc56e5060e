"""The rows to train on, as the stage `tokenize` left them: one Arrow table, no Python lists."""

import math
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset
from datasets.table import InMemoryTable

from loraflow.data.tables import count_rows
from loraflow.train.job import Job


def read_rows_to_train(tokens: Path) -> Dataset:
    """Read all rows; 4 bytes a token and label."""
    return Dataset(InMemoryTable(pq.read_table(tokens / "train.parquet")))


def row_lengths(rows: Dataset) -> list[int]:
    """Return how many tokens each row has."""
    lengths: list[int] = pc.list_value_length(rows.with_format("arrow")["input_ids"]).to_pylist()
    return lengths


def planned_steps(job: Job) -> int:
    """Return how many optimizer steps the training takes."""
    settings = job.settings
    if settings.max_steps is not None:
        return settings.max_steps
    apart = settings.early_stopping.rows if settings.early_stopping else 0
    rows = count_rows(job.tokens / "train.parquet") - apart
    batches = math.ceil(rows / (settings.per_device_train_batch_size * settings.processes))
    per_epoch = math.ceil(batches / settings.gradient_accumulation_steps)
    return math.ceil(per_epoch * settings.num_train_epochs)
