"""Reaches MLflow, and makes the experiment at first use."""

import logging
import os
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import RunInfo
from mlflow.exceptions import MlflowException

from loraflow.config import TrackingConfig
from loraflow.errors import PassingError, UserError
from loraflow.lock import locked

_KIND = "custom_model_development"  # the UI opens with runs and charts, not with chat traces
_SERVER_ERROR = 500  # of HTTP; MLflow gives it to requests that nobody answered too


class Unreachable(PassingError):
    """The tracking server is away; it may come back."""


def connect(tracking: TrackingConfig) -> tuple[MlflowClient, str]:
    """Return a client and the experiment's id, made at first use.

    Raises:
        UserError: if MLflow does not answer; an Unreachable one if its server is away.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # importing it sets INFO
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # files here are small
    mlflow.set_tracking_uri(tracking.uri)
    mlflow.set_system_metrics_sampling_interval(5)  # type: ignore[no-untyped-call]
    client = mlflow.MlflowClient()
    with locked(lock_file(tracking)):  # two first uses at once break the database
        try:
            found = client.get_experiment_by_name(tracking.experiment)
        except MlflowException as error:
            fault = Unreachable if is_outage(tracking, error) else UserError
            raise fault(
                f"tracking.uri={tracking.uri} does not answer: {str(error)[:200]}; "
                "start the server, or use tracking=sqlite"
            ) from error
        if found is not None:
            return client, found.experiment_id
        location = None if tracking.artifacts is None else _artifact_uri(tracking.artifacts)
        return client, client.create_experiment(
            tracking.experiment, artifact_location=location, tags={"mlflow.experimentKind": _KIND}
        )


def is_outage(tracking: TrackingConfig, error: MlflowException) -> bool:
    """Tell whether a server, or the database behind it, is away: not that it refused."""
    status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
    return tracking.uri.startswith("http") and status >= _SERVER_ERROR


def run_url(tracking: TrackingConfig, info: RunInfo) -> str:
    """Return where the run is shown."""
    return f"{tracking.ui}/#/experiments/{info.experiment_id}/runs/{info.run_id}"


def lock_file(tracking: TrackingConfig, name: str = "") -> Path:
    """Return what processes of this machine lock to take turns: beside the database, if local."""
    database = tracking.uri.removeprefix("sqlite:///")
    folder = Path(database).parent if database != tracking.uri else Path("mlruns")
    return folder / f"{name}.lock"


def _artifact_uri(artifacts: str) -> str:
    return artifacts if "://" in artifacts else Path(artifacts).absolute().as_uri()
