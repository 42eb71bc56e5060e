"""Writes a finished experiment into its MLflow run."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.entities import LoggedModelOutput, Param
from omegaconf import OmegaConf

from loraflow.check import dump_config, flatten
from loraflow.compare.base_vs_tuned import Comparison
from loraflow.config import Config
from loraflow.files import HISTORY, read_lines, write_json
from loraflow.model.source import BaseModel
from loraflow.plan import Plan
from loraflow.store import Store
from loraflow.tracking.provenance import git_diff, library_versions
from loraflow.tracking.run import Run

_DIGEST_LENGTH = 36  # the longest that MLflow takes for a dataset


def record_experiment(
    run: Run,
    config: Config,
    plan: Plan,
    store: Store,
    *,
    base: BaseModel,
    comparison: Comparison,
) -> None:
    """Log parameters, final metrics, data, adapter, items and provenance to the active run."""
    settings = dump_config(config)
    params = {key: _as_typed(value) for key, value in flatten(settings).items()}
    run.client.log_batch(run.id, params=[Param(key, value) for key, value in params.items()])
    run.flush()
    _complete_history(run, store.folder(plan.train) / HISTORY)
    for name, value in _final_metrics(plan, store, comparison).items():
        run.log_metric(name, value)
    run.flush()
    run.client.set_tag(run.id, "loraflow.base_revision", base.revision)
    run.client.set_tag(run.id, "mlflow.note.content", comparison.as_markdown())
    _log_data(config, plan, store)
    mlflow.log_table(pd.DataFrame(comparison.items), "evaluate/items.json")
    with tempfile.TemporaryDirectory() as scratch:
        _gather_files(Path(scratch), settings, plan, store)
        run.client.log_artifacts(run.id, scratch)
    _log_adapter(run, params, store.folder(plan.train) / "adapter", base)
    run.recorded = True


def _complete_history(run: Run, history: Path) -> None:
    """Log the steps of a training that an earlier run did and this one reused."""
    if run.client.get_metric_history(run.id, "train/loss"):
        return
    for row in read_lines(history):
        step = row.pop("step")
        for name, value in row.items():
            run.log_metric(name, value, step)


def _final_metrics(plan: Plan, store: Store, comparison: Comparison) -> dict[str, float]:
    trained = store.result(plan.train)
    metrics: dict[str, float] = dict(trained["metrics"])
    metrics |= {f"train/{name}": count for name, count in trained["counts"].items()}
    metrics |= {f"train/{name}": trained[name] for name in ("seconds", "peak_memory_gib")}
    for row in comparison.rows:
        metrics[f"evaluate/{row.metric}"] = row.tuned
        metrics[f"evaluate_base/{row.metric}"] = row.base
    for stage, key in {"prepare": plan.prepare, "tokenize": plan.tokenize}.items():
        counts = store.result(key)["counts"]
        metrics |= {f"{stage}/{name}": count for name, count in counts.items()}
    return metrics | comparison.differences()


def _log_data(config: Config, plan: Plan, store: Store) -> None:
    """Log both sides of the split as MLflow datasets, named by the data's fingerprint."""
    source = CodeDatasetSource({"path": str(config.data.path or "the Python standard library")})
    for context in ("train", "held_out"):
        rows = read_lines(store.folder(plan.prepare) / f"{context}.jsonl")
        frame = pd.DataFrame(
            {
                "prompt": [row["messages"][-2]["content"] for row in rows],
                "answer": [row["messages"][-1]["content"] for row in rows],
            }
        )
        dataset: PandasDataset = mlflow.data.from_pandas(  # type: ignore[attr-defined]
            frame,
            source=source,
            name=f"{config.data.format} {context}",
            digest=plan.prepare.digest[:_DIGEST_LENGTH],
        )
        mlflow.log_input(dataset, context=context)


def _gather_files(folder: Path, settings: Mapping[str, Any], plan: Plan, store: Store) -> None:
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(dict(settings))))
    (folder / "git.diff").write_text(git_diff(), encoding="utf-8")
    write_json(folder / "libraries.json", library_versions())
    write_json(folder / "stages.json", plan.digests())
    kept = [
        ("prepare", plan.prepare, ["rejected.jsonl"]),
        ("tokenize", plan.tokenize, ["preview.txt", "too_long.jsonl"]),
        ("train", plan.train, []),
        ("evaluate_base", plan.evaluate_base, []),
        ("evaluate_tuned", plan.evaluate_tuned, []),
    ]
    for stage, key, names in kept:
        target = folder / "stages" / stage
        target.mkdir(parents=True)
        for name in [*names, "result.json"]:
            (target / name).write_bytes((store.folder(key) / name).read_bytes())


def _log_adapter(run: Run, params: dict[str, str], folder: Path, base: BaseModel) -> None:
    """Log the adapter's files as a model of the run.

    Not by `mlflow.transformers`, which beside a local base writes a copy that loads with
    re-initialized layers (mlflow 3.17.2).
    """
    model = mlflow.initialize_logged_model(
        name="adapter",
        source_run_id=run.id,
        params={key: value for key, value in params.items() if key.startswith("adapter.")},
        tags={"base_revision": base.revision},
        model_type="peft-adapter",
    )
    run.client.log_model_artifacts(model.model_id, str(folder))
    mlflow.finalize_logged_model(model.model_id, "READY")
    run.client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])


def _as_typed(value: Any) -> str:
    """Return a value as it can be pasted on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(_as_typed(part) for part in value)}]"
    return str(value)
