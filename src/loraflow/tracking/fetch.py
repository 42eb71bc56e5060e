"""Reads back from MLflow what a run was made of: its config, and what it trained."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from omegaconf import OmegaConf

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.tracking.connection import connect

_KINDS = {"adapter": "adapter", "model": "model"}


def fetch_settings(tracking: TrackingConfig, run_id: str) -> dict[str, Any]:
    """Return the config that a run was started with.

    Raises:
        UserError: if there is no such run, or it holds no config.
    """
    client, _ = connect(tracking)
    try:
        client.get_run(run_id)
        with tempfile.TemporaryDirectory() as scratch:
            path = client.download_artifacts(run_id, "config.yaml", scratch)
            settings = OmegaConf.to_container(OmegaConf.load(path))
    except MlflowException as error:
        raise UserError(
            f"run={run_id} is no run with a config in {tracking.uri}: {str(error)[:200]}; copy the "
            "run's id from the MLflow UI, or set tracking.uri"
        ) from error
    if not isinstance(settings, dict):
        raise UserError(f"run={run_id}: its config.yaml holds no sections; was it edited?")
    return {str(name): section for name, section in settings.items()}


def fetch_trained(tracking: TrackingConfig, run_id: str, *, out: Path) -> dict[str, Any]:
    """Copy what a run trained, an adapter or a model, to `out`.

    Raises:
        UserError: if it logged none.
    """
    client, experiment = connect(tracking)
    experiment = client.get_run(run_id).info.experiment_id
    models = client.search_logged_models([experiment], filter_string=f"source_run_id='{run_id}'")
    for model in models:
        if model.name in _KINDS:
            with tempfile.TemporaryDirectory(dir=out) as scratch:
                found = mlflow.artifacts.download_artifacts(
                    f"models:/{model.model_id}", dst_path=scratch
                )
                shutil.move(found, out / _KINDS[model.name])
            return {"counts": {}, "metrics": {}, "run": run_id}
    raise UserError(f"run={run_id} has logged neither an adapter nor a model; evaluate another run")
