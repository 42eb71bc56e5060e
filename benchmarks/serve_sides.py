"""The two sides of the server's benchmark: real servers, each as a user would start it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

_PATIENCE = 300  # seconds until a server answers
_END_PATIENCE = 20  # seconds until one that is told to end has ended
OURS, THEIRS = "loraflow", "transformers serve"


@dataclass(frozen=True)
class Side:
    """A server that runs."""

    name: str
    url: str
    models: Sequence[str]  # that requests ask for, in turns
    process: psutil.Process

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let it run for the time of the block; outside it computes nothing, waiting included."""
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGSTOP)


@contextmanager
def loraflow(
    folder: Path, dtype: str, scratch: Path, adapters: Mapping[str, Path]
) -> Iterator[Side]:
    """Yield what `make serve` starts, with the base and `adapters` as its models."""
    port = _free_port()
    given = ", ".join(f"{name}: {place}" for name, place in adapters.items())
    command = [sys.executable, "-m", "flows.serve", f"serve.port={port}", "serve.registered=null"]
    command += ["model=folder", f"model.location={folder}", "quantization=none"]
    command += [f"quantization.compute_dtype={dtype}", f"serve.folder={scratch}/serving"]
    command += [f"serve.adapters={{{given}}}"]
    log = scratch / "loraflow.log"
    with _started(command, {}, port, log) as process:
        yield Side(OURS, _url(port), list(adapters) or ["base"], process)


@contextmanager
def transformers_serve(
    folder: Path, dtype: str, scratch: Path, words: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Side]:
    """Yield `transformers serve` of the same folder, with further `words` of its command line."""
    port = _free_port()
    program = Path(sys.executable).with_name("transformers")
    command = [str(program), "serve", str(folder), "--dtype", dtype, "--port", str(port), *words]
    log = scratch / "transformers.log"
    with _started(command, environment, port, log) as process:
        yield Side(THEIRS, _url(port), [str(folder)], process)


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str], port: int, log: Path
) -> Iterator[psutil.Process]:
    """Yield the process of a server that answers, stopped until it is its turn."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        process.send_signal(signal.SIGSTOP)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(_END_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise SystemExit(f"the server does not answer:\n{log.read_text()[-3000:]}")


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1/"


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port
