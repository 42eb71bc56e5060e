"""Writes what every experiment leaves, alone or as a trial, in a few calls for all of it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput
from omegaconf import OmegaConf

from loraflow.check import dump_config
from loraflow.config import AdapterConfig, Config
from loraflow.evaluate.report.content import EvaluationPage
from loraflow.evaluate.report.markdown import as_markdown
from loraflow.files import HISTORY, read_lines, write_json
from loraflow.model.source import BaseModel
from loraflow.plan.experiment import Plan
from loraflow.store import RESULT, Store
from loraflow.tracking.data import as_params
from loraflow.tracking.evaluation import TABLE_TAGS, evaluation_metrics, gather_evaluation
from loraflow.tracking.provenance import Provenance
from loraflow.tracking.run import Run

CONFIG, LIBRARIES, DIGESTS, DIFF = "config.yaml", "libraries.json", "stages.json", "git.diff"
STAGES = "stages"  # folder of what each stage says of itself
REVISION_TAG = "loraflow.base_revision"
_UNTRAINED = {"adapter.r": "0", "adapter.target_modules": "none"}  # as charts over r show them


def log_result(
    run: Run,
    config: Config,
    plan: Plan,
    store: Store,
    *,
    base: BaseModel,
    page: EvaluationPage,
) -> None:
    """Log parameters, curves, final metrics, the evaluation, provenance and what was trained."""
    settings = dump_config(config)
    trained = store.result(plan.last.train)
    params = as_params(settings) | _trained_params(config.adapter, trained)
    for name, training in {**plan.before, "": plan.last}.items():
        run.log_history(_history(store.folder(training.train), name))
    run.log_values(
        params=params,
        metrics=_final_metrics(trained) | _cost(plan, store) | evaluation_metrics(page),
        tags={REVISION_TAG: base.revision, "mlflow.note.content": as_markdown(page), **TABLE_TAGS},
    )
    with tempfile.TemporaryDirectory() as scratch:
        gather_evaluation(plan.evaluation, store, page, out=Path(scratch))
        _gather_provenance(settings, run.provenance, plan, store, out=Path(scratch))
        run.client.log_artifacts(run.id, scratch)
    _log_trained(run, params, store.folder(plan.last.train), base)


def _history(trained: Path, name: str) -> list[dict[str, Any]]:
    """Return the metrics of a training; those of an earlier one under its name: train_cpt/loss."""
    rows = read_lines(trained / HISTORY)
    if not name:
        return rows
    return [{key.replace("train/", f"train_{name}/", 1): row[key] for key in row} for row in rows]


def _trained_params(adapter: AdapterConfig, trained: Mapping[str, Any]) -> dict[str, str]:
    """Return what follows from the settings, and what charts over r need corrected."""
    scale = trained["metrics"].get("train/scale", 0.0)  # of no training
    return {
        "effective_scale": str(scale),
        "trainable_parameters": str(trained["counts"]["trainable_parameters"]),
    } | (_UNTRAINED if adapter.method in ("none", "head_only") else {})


def _final_metrics(trained: Mapping[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = dict(trained["metrics"])
    metrics |= {f"train/{name}": count for name, count in trained["counts"].items()}
    return metrics | {f"train/{name}": trained[name] for name in ("seconds", "peak_memory_gib")}


def _cost(plan: Plan, store: Store) -> dict[str, float]:
    """Return what the training cost, and the evaluation of what it trained."""
    trained = store.result(plan.last.train)
    evaluated = store.result((plan.evaluation.tuned or plan.evaluation.base).evaluate)
    cost = {
        "seconds": trained["seconds"],
        "evaluate_seconds": evaluated["seconds"],
        "tokens": trained["counts"].get("tokens", 0),
        "peak_memory_gib": trained["peak_memory_gib"],
        "energy_joules": trained.get("energy_joules"),
    }
    return {f"cost/{name}": value for name, value in cost.items() if value is not None}


def _gather_provenance(
    settings: Mapping[str, Any], started: Provenance, plan: Plan, store: Store, *, out: Path
) -> None:
    """Write to `out` what it takes to run all of it again, and to tell whether it is the same."""
    (out / CONFIG).write_text(OmegaConf.to_yaml(OmegaConf.create(dict(settings))))
    (out / DIFF).write_text(started.diff, encoding="utf-8")
    write_json(out / LIBRARIES, dict(started.libraries))
    write_json(out / DIGESTS, plan.digests())
    for name, key in plan.stages().items():
        folder = out / STAGES / name
        folder.mkdir(parents=True)
        for file in (RESULT, HISTORY):
            source = store.folder(key) / file
            if source.is_file():
                (folder / file).write_bytes(source.read_bytes())


def _log_trained(run: Run, params: Mapping[str, str], trained: Path, base: BaseModel) -> None:
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
