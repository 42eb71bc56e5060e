"""Writes a finished experiment into its MLflow run."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput
from omegaconf import OmegaConf

from loraflow.check import dump_config
from loraflow.config import Config
from loraflow.evaluate.report.content import EvaluationPage
from loraflow.evaluate.report.markdown import as_markdown
from loraflow.files import HISTORY, read_lines, write_json
from loraflow.model.source import BaseModel
from loraflow.plan.evaluation import EvaluationPlan
from loraflow.plan.experiment import Plan
from loraflow.store import Store
from loraflow.tracking.data import copy_files, log_data, log_params
from loraflow.tracking.evaluation import evaluation_metrics, log_evaluation
from loraflow.tracking.provenance import git_diff, library_versions
from loraflow.tracking.run import Run


def record_experiment(
    run: Run,
    config: Config,
    plan: Plan,
    store: Store,
    *,
    base: BaseModel,
    page: EvaluationPage,
) -> None:
    """Log parameters, final metrics, data, adapter, items and provenance to the active run."""
    settings = dump_config(config)
    params = log_params(run, settings)
    run.flush()
    _complete_history(run, store.folder(plan.last.train) / HISTORY)
    for name, value in _final_metrics(plan, store, page).items():
        run.log_metric(name, value)
    run.flush()
    run.client.set_tag(run.id, "loraflow.base_revision", base.revision)
    run.client.set_tag(run.id, "mlflow.note.content", as_markdown(page))
    log_data(run, plan, store)
    log_evaluation(run, plan.evaluation, store, page)
    with tempfile.TemporaryDirectory() as scratch:
        _gather_files(Path(scratch), settings, plan, store)
        run.client.log_artifacts(run.id, scratch)
    _log_trained(run, params, store.folder(plan.last.train), base)
    run.recorded = True


def record_evaluation(
    run: Run,
    config: Config,
    plan: EvaluationPlan,
    store: Store,
    *,
    page: EvaluationPage,
    of_run: str | None,
) -> None:
    """Log an evaluation without a training; `of_run` is the run whose adapter was evaluated."""
    log_params(run, dump_config(config))
    for name, value in evaluation_metrics(page).items():
        run.log_metric(name, value)
    run.flush()
    run.client.set_tag(run.id, "mlflow.note.content", as_markdown(page))
    if of_run is not None:
        run.client.set_tag(run.id, "loraflow.evaluates", of_run)
    log_evaluation(run, plan, store, page)
    run.recorded = True


def _complete_history(run: Run, history: Path) -> None:
    """Log the steps of a training that an earlier run did and this one reused."""
    if run.client.get_metric_history(run.id, "train/loss"):
        return
    for row in read_lines(history):
        step = row.pop("step")
        for name, value in row.items():
            run.log_metric(name, value, step)


def _final_metrics(plan: Plan, store: Store, page: EvaluationPage) -> dict[str, float]:
    trained = store.result(plan.last.train)
    metrics: dict[str, float] = dict(trained["metrics"])
    metrics |= {f"train/{name}": count for name, count in trained["counts"].items()}
    metrics |= {f"train/{name}": trained[name] for name in ("seconds", "peak_memory_gib")}
    return metrics | evaluation_metrics(page)


def _gather_files(folder: Path, settings: Mapping[str, Any], plan: Plan, store: Store) -> None:
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(dict(settings))))
    (folder / "git.diff").write_text(git_diff(), encoding="utf-8")
    write_json(folder / "libraries.json", library_versions())
    write_json(folder / "stages.json", plan.digests())
    stages = {"train": plan.last.train, **plan.evaluation.stages()}
    for stage, key in stages.items():
        copy_files(store.folder(key), folder / "stages" / stage, ["result.json"])


def _log_trained(run: Run, params: dict[str, str], trained: Path, base: BaseModel) -> None:
    """Log what was trained, an adapter or a whole model, as a model of the run.

    Not by `mlflow.transformers`, which beside a local base writes a copy that loads with
    re-initialized layers (mlflow 3.17.2).
    """
    for name, kind in {"adapter": "peft-adapter", "model": "transformers"}.items():
        if not (trained / name).is_dir():
            continue
        model = mlflow.initialize_logged_model(
            name=name,
            source_run_id=run.id,
            params={key: value for key, value in params.items() if key.startswith("adapter.")},
            tags={"base_revision": base.revision},
            model_type=kind,
        )
        run.client.log_model_artifacts(model.model_id, str(trained / name))
        mlflow.finalize_logged_model(model.model_id, "READY")
        run.client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])
