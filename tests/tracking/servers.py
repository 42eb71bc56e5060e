"""Where tests track, and a look into it."""

from pathlib import Path
from typing import Any

import mlflow

from loraflow.config import TrackingConfig
from loraflow.store import make_key

PLAN = make_key("experiment", 1, r=8)
OTHER_PLAN = make_key("experiment", 1, r=16)


def tracking_in(folder: Path, experiment: str) -> TrackingConfig:
    """An experiment of the database in `folder`."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return TrackingConfig(uri, str(folder / "artifacts"), experiment, "http://127.0.0.1:5000")


def run_of(tracking: TrackingConfig, run_id: str) -> Any:
    return mlflow.MlflowClient(tracking.uri).get_run(run_id)


def all_runs(tracking: TrackingConfig) -> list[Any]:
    client = mlflow.MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name(tracking.experiment)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def ending_of(tracking: TrackingConfig, run_id: str) -> tuple[str, str, str | None]:
    """MLflow's status, and this project's state and reason."""
    run = run_of(tracking, run_id)
    tags = run.data.tags
    return run.info.status, tags["loraflow.state"], tags.get("loraflow.reason")
