"""A Prefect server and a worker for tests of the nightly deployment: real processes."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelling, Scheduled

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 120  # before a test gives up; nothing depends on how fast it is

_Found = TypeVar("_Found")


def wait_for(find: Callable[[], _Found], seconds: float = PATIENCE_SECONDS) -> _Found:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.3)
    raise AssertionError(f"{find} found nothing in {seconds} s")


class Nights:
    """A server on loopback and what is deployed on it, all of it below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "NIGHTS_FOLDER": str(folder),
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        self.client = SyncPrefectClient(self.url)
        self.processes: list[subprocess.Popen[str]] = []
        self.serve()

    def serve(self) -> None:
        self.server = self.start("-m", "flows.server", "--port", str(self.port))
        wait_for(self._answers)

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/health", timeout=5):
                return True
        except OSError:
            return False

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        log = self.folder / f"process{len(self.processes)}.log"
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def log_of(self, process: "subprocess.Popen[str]") -> str:
        return (self.folder / f"process{self.processes.index(process)}.log").read_text()

    def deploy(self, cron: str = "0 2 * * *", *flags: str) -> "subprocess.Popen[str]":
        """Do what `make deploy` does; wait until the worker is up, or the registering done."""
        process = self.start("-m", "tests.nightly_worker", cron, *flags)
        if flags:
            assert process.wait(PATIENCE_SECONDS) == 0, self.log_of(process)
        else:
            wait_for(lambda: "started!" in self.log_of(process))
        return process

    @property
    def deployment(self) -> Any:
        return self.client.read_deployment_by_name("nightly/nightly")

    def request(self, *words: str) -> UUID:
        """Start a run as the dashboard does."""
        return self.client.create_flow_run_from_deployment(
            self.deployment.id, parameters={"words": list(words)}, state=Scheduled()
        ).id

    def cancel(self, run: UUID) -> None:
        """Cancel a run as the dashboard does."""
        self.client.set_flow_run_state(run, Cancelling())

    def run(self, run: UUID) -> FlowRun:
        return self.client.read_flow_run(run)

    def runs(self, **wanted: Any) -> list[FlowRun]:
        return self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(wanted),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=100,
        )

    def ended(self, run: UUID) -> str:
        """Wait for the end of a run, and return its state's name."""
        wait_for(lambda: (state := self.run(run).state) and state.is_final())
        return str(self.run(run).state_name)

    def planned(self) -> list[tuple[UUID, datetime]]:
        """Return the runs that are scheduled, the next one first."""
        runs = self.runs(state={"type": {"any_": ["SCHEDULED"]}})
        return [(run.id, run.expected_start_time) for run in runs if run.expected_start_time]

    def note(self, name: str) -> dict[str, Any]:
        """Wait for what a night leaves when it has started, and return it."""
        path = self.folder / f"{name}.json"
        wait_for(lambda: path.exists() and path.read_text())
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def move(self, run: UUID, due: datetime) -> None:
        """Change the time of a scheduled run, in the database itself."""
        text = due.strftime("%Y-%m-%d %H:%M:%S.%f")
        path = self.folder / "prefect" / "prefect.db"
        with closing(sqlite3.connect(path, timeout=60)) as database, database:
            database.execute(
                "UPDATE flow_run SET expected_start_time = ?, next_scheduled_start_time = ?"
                " WHERE id = ?",
                [text, text, str(run)],
            )
            database.execute(
                "UPDATE flow_run_state SET state_details ="
                " json_set(state_details, '$.scheduled_time', ?) WHERE flow_run_id = ?",
                [due.isoformat(), str(run)],
            )

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
