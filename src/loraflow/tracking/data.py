"""Writes what is known of the data into an MLflow run: counts, both sides, report."""

import re
import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import PandasDataset

from loraflow.check import dump_config, flatten
from loraflow.config import Config
from loraflow.data.tables import read_rows
from loraflow.plan.experiment import Plan
from loraflow.store import Store
from loraflow.tracking.run import Run

_DIGEST_LENGTH = 36  # the longest that MLflow takes for a dataset
_NAME_LENGTH = 200
_ROWS_SHOWN = 1_000  # of a side, as MLflow's dataset
_LARGEST_FILE = 100 * 2**20  # bytes of rejected rows that are copied; more stay in the store
_SECTIONS = ("data", "template", "model")  # what a run of the data alone depends on


def record_data(run: Run, config: Config, plan: Plan, store: Store) -> None:
    """Log a run of the data stages alone."""
    settings = dump_config(config)
    run.log_values(params=as_params({section: settings[section] for section in _SECTIONS}))
    log_data(run, plan, store)
    run.recorded = True


def as_params(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return every value under its dotted key, as it can be pasted on the command line."""
    return {key: _as_typed(value) for key, value in flatten(settings).items()}


def log_data(run: Run, plan: Plan, store: Store) -> None:
    """Log counts, both sides of the split, report and rejected rows to `run`, the active one."""
    results = {name: store.result(getattr(plan.last, name)) for name in ("prepare", "tokenize")}
    counts = {
        f"{stage}/{name}": count
        for stage, result in results.items()
        for name, count in {**result["counts"], **result.get("rejected_by", {})}.items()
    }
    run.log_values(metrics=counts)
    prepared = store.folder(plan.last.prepare)
    for side in ("train", "held_out"):
        mlflow.log_input(_dataset(prepared, side, plan.last.prepare.digest), context=side)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy_files(store.folder(plan.report), folder, ["report.html"])
        copy_files(prepared, folder / "prepare", ["rejected.parquet", "result.json"])
        tokens = store.folder(plan.last.tokenize)
        copy_files(tokens, folder / "tokenize", ["rejected.parquet", "preview.txt", "result.json"])
        run.client.log_artifacts(run.id, scratch, "data")


def copy_files(source: Path, target: Path, names: list[str]) -> None:
    """Copy the named files, but for very large ones, which stay in the store."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (source / name).stat().st_size <= _LARGEST_FILE:
            (target / name).write_bytes((source / name).read_bytes())


def _dataset(prepared: Path, side: str, digest: str) -> PandasDataset:
    rows = list(islice(read_rows(prepared / f"{side}.parquet"), _ROWS_SHOWN))
    frame = pd.DataFrame(
        {
            "prompt": [row.record.question for row in rows],
            "answer": [row.record.answer for row in rows],
        }
    )
    sources = sorted({row.source for row in rows})
    dataset: PandasDataset = mlflow.data.from_pandas(  # type: ignore[attr-defined]
        frame,
        source=CodeDatasetSource({"sources": sources}),
        name=f"{', '.join(sources)[:_NAME_LENGTH]} {side}",
        digest=digest[:_DIGEST_LENGTH],
    )
    return dataset


def _as_typed(value: Any) -> str:
    """Return a value as it can be pasted on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if value == {}:
        return "{}"
    if isinstance(value, list):
        return f"[{','.join(_quoted(_as_typed(part)) for part in value)}]"
    return str(value)


def _quoted(part: str) -> str:
    """Quote what Hydra's grammar would not read as one word of a list."""
    plain = re.fullmatch(r"[\w./:@+-]+", part, re.ASCII) or part[:1] in ("[", "{")
    return part if plain else "'" + part.replace("'", r"\'") + "'"
