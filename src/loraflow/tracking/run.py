"""Opens the MLflow run of an experiment, finds it again by its plan, and says how it ended."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as FoundRun
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from loraflow.config import TrackingConfig
from loraflow.errors import Pruned
from loraflow.store import Key
from loraflow.tracking.connection import Unreachable, connect, is_outage, run_url
from loraflow.tracking.process import ending_on_sigterm, is_dead, this_process
from loraflow.tracking.provenance import Provenance, git_commit, provenance
from loraflow.tracking.reason import reason_of, short_reason

log = logging.getLogger(__name__)

State = Literal["finished", "failed", "pruned", "killed"]

COMMIT_TAG = "mlflow.source.git.commit"
PLAN_TAG = "loraflow.plan"
PROCESS_TAG = "loraflow.process"
STATE_TAG = "loraflow.state"
REASON_TAG = "loraflow.reason"
DATA_TAG = "loraflow.data_fingerprint"
STARTED_TAG = "loraflow.started"  # earlier than the run, if the tracking server was away

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "pruned": "KILLED", "killed": "KILLED"}
_NOT_LOGGED = "not all of it was logged: MLflow did not answer, or nothing was recorded"
_MOST = 1000  # metrics that a batch may hold
_SECONDS_BETWEEN_WRITES = 5.0
_SECONDS_AFTER_FAILURE = 60.0  # each try costs the training a few seconds


@dataclass
class Run:
    """An MLflow run: metrics are gathered and written a few seconds apart."""

    client: MlflowClient
    id: str  # empty: the tracking server was away, so there is none
    url: str
    provenance: Provenance
    finished: bool = False  # an earlier run of the same plan, complete: nothing is left to log
    recorded: bool = False  # results, data and adapter are all in MLflow
    complete: bool = False  # and it has ended there
    _waiting: list[Metric] = field(default_factory=list)
    _told: set[tuple[str, int]] = field(default_factory=set)  # metrics and their steps
    _written: float = 0.0
    _end: tuple[State, str] | None = None

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Log one metric; while the tracking server is away it is kept until later."""
        if self.finished or not self.id:
            return
        self._waiting.append(Metric(name, value, int(time.time() * 1000), step))
        self._told.add((name, step))
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self._try_flush()

    def log_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log the steps that another process trained, before a kill or for an earlier run."""
        now = int(time.time() * 1000)
        self._waiting += [
            Metric(name, value, now, row["step"])
            for row in rows
            for name, value in row.items()
            if name != "step" and (name, row["step"]) not in self._told
        ]

    def log_values(
        self,
        *,
        params: Mapping[str, str] = MappingProxyType({}),
        metrics: Mapping[str, float] = MappingProxyType({}),
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Write values, and all metrics gathered so far, in as few calls as there can be.

        Raises:
            MlflowException: if the tracking server does not take them.
        """
        if not self.id:
            raise MlflowException("the tracking server was away when the run started")
        now = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now, 0) for name, value in metrics.items()]
        self.client.log_batch(
            self.id,
            params=[Param(name, value) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        self.flush()

    def flush(self) -> None:
        """Write all metrics gathered so far.

        Raises:
            MlflowException: if the tracking server does not take them.
        """
        for start in range(0, len(self._waiting), _MOST):
            self.client.log_batch(self.id, metrics=self._waiting[start : start + _MOST])
        self._waiting.clear()
        self._written = time.monotonic()

    def end_as(self, state: State, reason: str = "") -> None:
        """Say how the run ends, however its block does; what was said first holds."""
        if self._end is None:
            self._end = (state, short_reason(reason))

    def end(self) -> None:
        """Write what is left, and end the active run, which is this one, as was said."""
        state, reason = self._end or ("failed", _NOT_LOGGED)
        tags = {STATE_TAG: state} | ({REASON_TAG: reason} if reason else {})
        status = _STATUS["failed"]  # unless the last values get through
        try:
            self.log_values(tags=tags)
            status = _STATUS[state]
        finally:  # else it would stay the active one of this thread
            mlflow.end_run(status)
        self.complete = state == "finished"

    def _try_flush(self) -> None:
        try:
            self.flush()
        except MlflowException as error:
            log.warning("MLflow does not answer, metrics are kept for later: %.200s", error)
            self._written = time.monotonic() + _SECONDS_AFTER_FAILURE


@contextmanager
def open_run(
    tracking: TrackingConfig,
    plan: Key,
    *,
    name: str,
    data: str,
    parent: str | None = None,
    started: Provenance | None = None,
) -> Iterator[Run]:
    """Yield the run of this plan: the finished one if there is one, else a new, active one.

    One that was paused goes on. Runs that processes of this machine left behind when they were
    killed are marked so. Should the tracking server be away, or go away, the block goes on, with a
    run that has no id or stays unfinished there: `loraflow.outbox` is for what it was to hold.

    Args:
        tracking: where MLflow keeps runs
        plan: names what is run
        name: of the run
        data: fingerprint of the data
        parent: id of the run that this one is nested in, whichever thread, process or machine
            opened that; what is finished below another does not count
        started: the code, and when; None: this code, now
    """
    started = started or provenance()
    tags = {**first_tags(plan, data), COMMIT_TAG: started.commit, STARTED_TAG: started.started}
    with ending_on_sigterm():
        try:
            run = _find_or_start(tracking, plan, name, parent, tags, started)
        except Unreachable as error:
            log.warning("%s; the run goes on and is logged later, by make sync", error)
            run = Run(MlflowClient(tracking.uri), "", "", started)
        if run.finished or not run.id:
            yield run
            return
        with ended_with_block(run):
            yield run


def _find_or_start(
    tracking: TrackingConfig,
    plan: Key,
    name: str,
    parent: str | None,
    tags: dict[str, str],
    started: Provenance,
) -> Run:
    """Return the finished run of the plan, the paused one, running again, or a new one."""
    client, experiment = connect(tracking)
    which: dict[str, Any] = {"experiment_id": experiment, "run_name": name, "tags": tags}
    told: set[tuple[str, int]] = set()
    try:
        mark_killed(client, experiment)
        found = runs_of(client, experiment, plan, parent)
        if earlier := next((run for run in found if run.info.status == "FINISHED"), None):
            url = run_url(tracking, earlier.info)
            return Run(client, earlier.info.run_id, url, started, finished=True)
        if paused := next((run for run in found if run.data.tags[STATE_TAG] == "pruned"), None):
            which, told = reopen(client, paused, tags), _told(client, paused)
        active = mlflow.start_run(
            **which, nested=parent is not None, parent_run_id=parent, log_system_metrics=True
        )
    except MlflowException as error:
        if not is_outage(tracking, error):
            raise
        raise Unreachable(
            f"tracking.uri={tracking.uri} has gone away: {str(error)[:200]}"
        ) from error
    return Run(client, active.info.run_id, run_url(tracking, active.info), started, _told=told)


def reopen(client: MlflowClient, run: FoundRun, tags: Mapping[str, str]) -> dict[str, str]:
    """Make an earlier run this process's own; return what MLflow is to start it again by.

    Before it runs: another process would take it for one that was left behind.
    """
    client.log_batch(run.info.run_id, tags=[RunTag(*tag) for tag in tags.items()])
    if REASON_TAG in run.data.tags:
        client.delete_tag(run.info.run_id, REASON_TAG)
    return {"run_id": run.info.run_id}


def _told(client: MlflowClient, run: FoundRun) -> set[tuple[str, int]]:
    """Return the metrics that the run has already, with their steps."""
    names = [name for name in run.data.metrics if not name.startswith("system/")]
    return {
        (name, metric.step)
        for name in names
        for metric in client.get_metric_history(run.info.run_id, name)
    }


def runs_of(client: MlflowClient, experiment: str, plan: Key, parent: str | None) -> list[FoundRun]:
    """Return the runs of a plan, the newest first; with no parent, those that stand alone."""
    found = client.search_runs([experiment], f"tags.`{PLAN_TAG}` = '{plan.digest}'")
    return [run for run in found if run.data.tags.get(MLFLOW_PARENT_RUN_ID) == parent]


def drop_unfinished(client: MlflowClient, run_id: str) -> None:
    """Move a run that never became complete to MLflow's bin: a whole one takes its place."""
    info = client.get_run(run_id).info
    if info.status != "FINISHED" and info.lifecycle_stage == "active":
        client.delete_run(run_id)


def mark_killed(client: MlflowClient, experiment: str) -> None:
    """End every run that a process of this machine left behind when it was killed."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        process = run.data.tags.get(PROCESS_TAG, "")
        if is_dead(process) and _is_still_of(client.get_run(run.info.run_id), process):
            client.set_tag(run.info.run_id, STATE_TAG, "killed")
            client.set_terminated(run.info.run_id, "KILLED")


def _is_still_of(run: FoundRun, process: str) -> bool:
    """Tell whether it runs, as read after its process was found dead: it may have ended in order.

    Or another process has taken it over.
    """
    return run.info.status == "RUNNING" and run.data.tags.get(PROCESS_TAG) == process


def first_tags(plan: Key, data: str) -> dict[str, str]:
    """Return what is known of a run when it starts."""
    return {
        PLAN_TAG: plan.digest,
        PROCESS_TAG: this_process(),
        STATE_TAG: "running",
        DATA_TAG: data,
        COMMIT_TAG: git_commit(),
    }


@contextmanager
def ended_with_block(run: Run) -> Iterator[None]:
    """End the active run as the block ends: finished only if all of it is recorded."""
    try:
        yield
        if run.recorded:
            run.end_as("finished")
    except Pruned as pruned:
        run.end_as("pruned", str(pruned))
        raise
    except Exception as error:
        run.end_as("failed", reason_of(error))
        raise
    except BaseException:  # Ctrl-C, SIGTERM
        run.end_as("killed")
        raise
    finally:
        with tolerated_outage("the run stays open there"):
            run.end()


@contextmanager
def tolerated_outage(consequence: str) -> Iterator[None]:
    """Go on when MLflow fails in the block, and say what follows from it."""
    try:
        yield
    except MlflowException as error:
        log.warning(
            "MLflow does not answer, %s; the results are in the store: once it answers, make sync "
            "logs an experiment or a trial, and the same command all else: %s",
            consequence,
            str(error)[:200],
        )
