"""A night as a process that a test waits for, stops and kills at a moment that it sees."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from tests.nights_project import Nights
from tests.test_flows import ROOT
from tests.tracking.mlflow_server import free_port, wait_until_it_answers

PATIENCE_SECONDS = 300  # before a test gives up; nothing depends on how fast it is


class Watched:
    """A night under way."""

    def __init__(self, nights: Nights, *words: str, flow: str = "nightly") -> None:
        number = len(list(nights.project.folder.glob("night*.log")))
        self.log = nights.project.folder / f"night{number}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"flows.{flow}", *nights.project.overrides, *words],
                cwd=ROOT,
                env=nights.project.environment,
                stdout=log,
                stderr=log,
            )

    @property
    def said(self) -> str:
        """Return what it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until(self, seen: Callable[[], object]) -> None:
        """Wait for something that happens before the night ends."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not seen():
            assert self.process.poll() is None, self.said[-3000:]
            assert time.monotonic() < deadline, self.said[-3000:]
            time.sleep(0.002)

    def until_said(self, words: str, times: int = 1) -> None:
        """Wait until its log has the words, each separated by any space."""
        self.until(lambda: " ".join(self.said.split()).count(words) >= times)

    def kill(self) -> None:
        """Kill it, and all that it started, as kill -9 does."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        assert self.process.wait(timeout=30) == -signal.SIGKILL
        psutil.wait_procs(children, timeout=60)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop the process in its tracks for the time of the block."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(timeout=PATIENCE_SECONDS)


@contextmanager
def dashboard(nights: Nights) -> Iterator[None]:
    """Run Prefect's server for all nights, which otherwise start one each."""
    port = free_port()
    with (nights.project.folder / "dashboard.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.server", "--port", str(port)],
            cwd=ROOT,
            env=nights.project.environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/api/health", server)
        yield
    finally:
        server.terminate()
        server.wait(timeout=60)


def versions(database: Path) -> list[int]:
    """Return the numbers of the registry's versions; at any moment, whatever else goes on."""
    return [int(row[0]) for row in _ask(database, "SELECT version FROM model_versions")]


def champion_in(database: Path) -> int | None:
    """Return the champion's number in the registry, past MLflow, as it is at this moment."""
    query = "SELECT version FROM registered_model_aliases WHERE alias = 'champion'"
    return next((int(row[0]) for row in _ask(database, query)), None)


def _ask(database: Path, query: str) -> list[tuple[str]]:
    if not database.exists():
        return []
    # to read behind a kill is to roll back what was being written, which needs a right to write
    with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=60)) as open_one:
        try:
            return open_one.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):  # they are still being made
                raise
            return []
