"""`python -m flows.serve` in a process of its own, and other commands beside it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from loraflow.config import TrackingConfig
from tests.tracking.mlflow_server import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds
LONG = {"messages": [{"role": "user", "content": "你是谁？"}], "max_tokens": 300}


class Serving:
    """A server in a process of its own."""

    def __init__(self, folder: Path, tracking: TrackingConfig, *words: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.words = [
            f"serve.port={self.port}",
            "serve.registered=m",
            "serve.poll_seconds=0.2",
            f"tracking.uri={tracking.uri}",
            f"tracking.experiment={tracking.experiment}",
            *words,
        ]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Serving":
        with (self.folder / "serve.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.serve", *self.words],
                cwd=self.folder,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{ROOT}/src:{ROOT}",
                    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
                },
                stdout=log,
                stderr=log,
                text=True,
            )
        until(lambda: self.process is None or self.process.poll() is not None or self._answers())
        assert self.process.poll() is None, self.said
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def said(self) -> str:
        return (self.folder / "serve.log").read_text()

    def ask(self, model: str = "champion", **fields: Any) -> httpx.Response:
        body = {"model": model, **LONG, **fields}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=PATIENCE)

    def versions(self) -> dict[str, int | None]:
        models = httpx.get(f"{self.url}/v1/models").json()["data"]
        return {model["id"]: model["loraflow"]["version"] for model in models}

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


def until(is_so: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.05)


@contextmanager
def serving(folder: Path, tracking: TrackingConfig, *words: str) -> Iterator[Serving]:
    server = Serving(folder, tracking, *words).start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.end(signal.SIGKILL)


def run_command(folder: Path, module: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
