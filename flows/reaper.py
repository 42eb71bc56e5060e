"""Ends Prefect runs whose process is dead, and drops nights that were missed.

A run of a process that was killed with -9 stays `Running` for ever, and keeps others from starting.
Every flow notes its process as it starts (`name_process`); `reap` looks whether that still lives.
"""

import logging
import os
import signal
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psutil
from prefect import Flow, State, runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Crashed

from loraflow.tracking.process import is_dead, this_process

log = logging.getLogger("loraflow")

PROCESS_LABEL = "loraflow.process"
_WORKER_LABEL = "prefect.worker.name"  # set by Prefect
_MOST = 200  # runs of one answer of the server
_CANCEL_SECONDS = 60  # a worker has stopped its own runs by then


def name_process(flow: Flow[Any, Any], flow_run: FlowRun, state: State) -> None:
    """Note on a run which process it is: a hook, `@flow(on_running=[name_process])`."""
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run.id, {PROCESS_LABEL: this_process()})


def reap(worker: str = "") -> None:
    """End the runs whose process on this machine is dead, and stop those that are to be cancelled.

    Args:
        worker: name of a worker that is about to start: what the last one of this name had taken
            and not yet started is dead too
    """
    with get_client(sync_client=True) as client:
        for run in _read(client, ["RUNNING", "CANCELLING"]):
            process = str(run.labels.get(PROCESS_LABEL, ""))
            if run.state and run.state.is_cancelling() and _age(run.state) < _CANCEL_SECONDS:
                continue  # its worker stops it
            if is_dead(process):
                _end(client, run)
            elif run.state and run.state.is_cancelling():
                _stop(run, process)
        if worker:
            for run in _read(client, ["PENDING"]):
                if run.labels.get(_WORKER_LABEL) == worker and not _is_starting(run):
                    _end(client, run)


def clear_way() -> None:
    """Call it first in a night: end what is dead, drop the late runs that this one stands for."""
    reap()
    if deployment := runtime.deployment.id:
        drop_missed(UUID(deployment), keep=0)


def drop_missed(deployment: UUID, *, keep: int) -> None:
    """Cancel the scheduled runs of a deployment whose time has passed, but the newest `keep`.

    What somebody started by hand waits for its turn.
    """
    with get_client(sync_client=True) as client:
        waiting = [
            run
            for run in _read(client, ["SCHEDULED"], deployment)
            if run.auto_scheduled and run.expected_start_time and run.expected_start_time < _now()
        ]
        for run in waiting[keep:]:
            client.set_flow_run_state(run.id, Cancelled(message=_MISSED), force=True)
            log.info("dropped the run of %s: a later one stands for it", run.expected_start_time)


_MISSED = "Missed: nothing could run at its time, and a later run looks at the same data."


def _read(
    client: SyncPrefectClient, types: list[str], deployment: UUID | None = None
) -> list[FlowRun]:
    """Return the runs in states of these types, the newest first."""
    wanted: dict[str, Any] = {"state": {"type": {"any_": types}}}
    if deployment:
        wanted["deployment_id"] = {"any_": [deployment]}
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(wanted),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,  # a server refuses to be asked without
        limit=_MOST,
    )


def _end(client: SyncPrefectClient, run: FlowRun) -> None:
    """Make of it what the user had asked for, or Crashed."""
    state = client.read_flow_run(run.id).state  # it may have ended in order, and its process then
    if state is None or state.is_final():
        return
    end = Cancelled if state.is_cancelling() else Crashed
    client.set_flow_run_state(run.id, end(message="Its process was killed."))
    log.warning("the Prefect run %s was left behind: its process was killed", run.name)


def _stop(run: FlowRun, process: str) -> None:
    """Ask a run of this machine to stop that no worker looks after: SIGTERM, at each call."""
    host, _, rest = process.partition(" ")
    if host == socket.gethostname():
        log.warning("stopping the Prefect run %s, which is to be cancelled", run.name)
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(int(rest.partition(" ")[0]), signal.SIGTERM)


def _is_starting(run: FlowRun) -> bool:
    """Tell whether the process that a dead worker started for a run still lives."""
    pid = run.infrastructure_pid or ""
    return pid.isdecimal() and psutil.pid_exists(int(pid))


def _age(state: State) -> float:
    return (_now() - state.timestamp).total_seconds()


def _now() -> datetime:
    return datetime.now(UTC)
