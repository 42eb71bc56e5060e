"""Opens the MLflow run of an experiment, and finds it again by its plan."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import psutil
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.lock import locked
from loraflow.store import Key
from loraflow.tracking.provenance import git_commit

log = logging.getLogger(__name__)

PLAN_TAG = "loraflow.plan"
PROCESS_TAG = "loraflow.process"
_KIND = "custom_model_development"  # the UI opens with runs and charts, not with chat traces
_SECONDS_BETWEEN_WRITES = 5.0
_SECONDS_AFTER_FAILURE = 60.0  # each try costs the training a few seconds


@dataclass
class Run:
    """An MLflow run: metrics are gathered and written a few seconds apart."""

    client: MlflowClient
    id: str
    url: str
    finished: bool = False  # an earlier run of the same plan, complete: nothing is left to log
    recorded: bool = False  # results, data and adapter are all in MLflow
    _waiting: list[Metric] = field(default_factory=list)
    _written: float = 0.0

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Log one metric; while the tracking server is away it is kept until later."""
        if self.finished:
            return
        self._waiting.append(Metric(name, value, int(time.time() * 1000), step))
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self._try_flush()

    def flush(self) -> None:
        """Write all metrics gathered so far.

        Raises:
            MlflowException: if the tracking server does not take them.
        """
        for start in range(0, len(self._waiting), 1000):  # the most that a batch may hold
            self.client.log_batch(self.id, metrics=self._waiting[start : start + 1000])
        self._waiting.clear()
        self._written = time.monotonic()

    def _try_flush(self) -> None:
        try:
            self.flush()
        except MlflowException as error:
            log.warning("MLflow does not answer, metrics are kept for later: %.200s", error)
            self._written = time.monotonic() + _SECONDS_AFTER_FAILURE


@contextmanager
def open_run(tracking: TrackingConfig, plan: Key, *, name: str, data: str) -> Iterator[Run]:
    """Yield the run of this plan: the finished one if there is one, else a new, active one.

    `data` is the fingerprint of the data. A run of the plan that a process on this machine left
    behind when it was killed is marked KILLED. Should the tracking server go away, the block goes
    on; the run stays unfinished there, and the same command logs it anew out of the store.
    """
    client, experiment = connect(tracking)
    for earlier in client.search_runs([experiment], f"tags.`{PLAN_TAG}` = '{plan.digest}'"):
        if earlier.info.status == "FINISHED":
            yield Run(client, earlier.info.run_id, _url(tracking, earlier.info), finished=True)
            return
        if earlier.info.status == "RUNNING" and _is_dead(earlier.data.tags.get(PROCESS_TAG, "")):
            client.set_terminated(earlier.info.run_id, "KILLED")
    tags = {
        PLAN_TAG: plan.digest,
        PROCESS_TAG: f"{socket.gethostname()} {os.getpid()}",
        "loraflow.data_fingerprint": data,
        "mlflow.source.git.commit": git_commit(),
    }
    active = mlflow.start_run(
        experiment_id=experiment, run_name=name, tags=tags, log_system_metrics=True
    )
    run = Run(client, active.info.run_id, _url(tracking, active.info))
    status = "FAILED"
    try:
        yield run
        status = "FINISHED" if run.recorded else "FAILED"
    finally:
        with tolerated_outage("the run stays open there"):
            run.flush()
            mlflow.end_run(status)


@contextmanager
def tolerated_outage(consequence: str) -> Iterator[None]:
    """Go on when MLflow fails in the block, and say what follows from it."""
    try:
        yield
    except MlflowException as error:
        log.warning(
            "MLflow does not answer, %s; the results are in the store, and the same command logs "
            "them once it does: %s",
            consequence,
            str(error)[:200],
        )


def _is_dead(process: str) -> bool:
    """Tell whether `process` (host and pid) was one of this machine and is no more."""
    host, _, pid = process.partition(" ")
    return host == socket.gethostname() and not psutil.pid_exists(int(pid))


def connect(tracking: TrackingConfig) -> tuple[MlflowClient, str]:
    """Return a client and the experiment's id, made at first use."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # importing it sets INFO
    mlflow.set_tracking_uri(tracking.uri)
    mlflow.set_system_metrics_sampling_interval(5)  # type: ignore[no-untyped-call]
    client = mlflow.MlflowClient()
    with locked(_first_use_lock(tracking)):  # two first uses at once break the database
        try:
            found = client.get_experiment_by_name(tracking.experiment)
        except MlflowException as error:
            raise UserError(
                f"tracking.uri={tracking.uri} does not answer: {str(error)[:200]}; "
                "start the server, or use tracking=sqlite"
            ) from error
        if found is not None:
            return client, found.experiment_id
        location = None if tracking.artifacts is None else _artifact_uri(tracking.artifacts)
        return client, client.create_experiment(
            tracking.experiment, artifact_location=location, tags={"mlflow.experimentKind": _KIND}
        )


def _first_use_lock(tracking: TrackingConfig) -> Path:
    database = tracking.uri.removeprefix("sqlite:///")
    folder = Path(database).parent if database != tracking.uri else Path("mlruns")
    return folder / ".lock"


def _artifact_uri(artifacts: str) -> str:
    return artifacts if "://" in artifacts else Path(artifacts).absolute().as_uri()


def _url(tracking: TrackingConfig, info: Any) -> str:
    return f"{tracking.ui}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
