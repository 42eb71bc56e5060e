"""A real MLflow server on loopback, which can be killed and started again on the same data."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

START_SECONDS = 180  # on a busy machine


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


class MlflowServer:
    """MLflow on a database and a folder of artifacts below `folder`."""

    def __init__(self, folder: Path, *words: str, store: str | None = None) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        database = store or f"sqlite:///{folder / 'server.db'}"
        self._command = [
            *[sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"],
            *["--port", str(self.port), "--workers", "1", "--backend-store-uri", database],
            *(words or ["--artifacts-destination", str(folder / "artifacts")]),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until_it_answers(f"{self.uri}/health", self._process)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=30)
            self._process = None

    def freeze(self) -> None:
        """Let it take connections and answer nothing, as behind a network that loses packets."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGSTOP)

    def runs(self, experiment: str) -> list[Any]:
        """Return what its UI shows: runs that were not deleted."""
        client = MlflowClient(self.uri)
        found = client.get_experiment_by_name(experiment)
        return [] if found is None else list(client.search_runs([found.experiment_id]))


def wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers, if only that a password is missing
        except (OSError, TimeoutError):
            time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer")
