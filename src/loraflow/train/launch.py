"""Trains in several processes that share every batch: torchrun starts them, this one waits."""

import json
import logging
import operator
import os
import subprocess
import sys
import threading
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from loraflow.config import AdapterConfig, TrainConfig
from loraflow.errors import Paused, UserError
from loraflow.files import HISTORY, read_json, write_json
from loraflow.measure import LogMetric
from loraflow.model.source import BaseModel
from loraflow.train.job import Job

log = logging.getLogger(__name__)

RESULT, FAULT, PAUSE, ORDER = "result.json", "fault.json", "pause.json", "order.json"
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_SAVE = 300  # at most, for those that are told to stop: a step, and a checkpoint
_PATHS = ("tokens", "start", "work")
_SECTIONS: dict[str, TypeAdapter[Any]] = {
    "adapter": TypeAdapter(AdapterConfig),
    "settings": TypeAdapter(TrainConfig),
    "base": TypeAdapter(BaseModel),
}


def train_together(job: Job, out: Path) -> dict[str, Any]:
    """Train in `train.processes` processes and return the first one's summary.

    Raises:
        UserError: what the user can mend, as one of the processes said it.
        Paused: behind the step `job.pause_at`.
        RuntimeError: if a process failed otherwise.
    """
    job.work.mkdir(parents=True, exist_ok=True)
    for name in (RESULT, FAULT, PAUSE):
        (job.work / name).unlink(missing_ok=True)
    write_json(job.work / ORDER, _dump(job, out))
    log.info("training in %d processes", job.settings.processes)
    with subprocess.Popen(
        _command(job),
        stdin=subprocess.PIPE,  # closes when this process dies, or is told twice to stop
        start_new_session=True,  # Ctrl-C in a terminal tells this process alone, which hands it on
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    ) as process:
        try:
            _follow(process, job.work / HISTORY, job.log_metric)
        finally:
            process.terminate()  # once: each ends its step and saves; no effect on what has ended
            process.wait()
    if (job.work / FAULT).is_file():
        raise UserError(read_json(job.work / FAULT)["message"])
    if (job.work / PAUSE).is_file():
        raise Paused(**read_json(job.work / PAUSE))
    if not (job.work / RESULT).is_file():
        raise RuntimeError(f"a training process ended with status {process.returncode}")
    summary: dict[str, Any] = read_json(job.work / RESULT)
    return summary


def read_order(path: Path, log_metric: LogMetric) -> tuple[Job, Path]:
    """Read what `train_together` ordered: the job, and where its output goes."""
    order = read_json(path)
    sections = {name: adapter.validate_python(order[name]) for name, adapter in _SECTIONS.items()}
    paths = {name: Path(order[name]) if order[name] else None for name in _PATHS}
    job = Job(**sections, **paths, log_metric=log_metric, pause_at=order["pause_at"])  # type: ignore[arg-type]
    return job, Path(order["out"])


def end_with_launcher() -> None:
    """End this process when the one that ordered the training is gone, whatever killed it."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):  # nothing, when the pipe's other end is closed
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _dump(job: Job, out: Path) -> dict[str, Any]:
    sections = {
        name: adapter.dump_python(getattr(job, name), mode="json")
        for name, adapter in _SECTIONS.items()
    }
    paths = {name: getattr(job, name) for name in _PATHS}
    return {
        **sections,
        **{name: str(path.absolute()) if path else None for name, path in paths.items()},
        "out": str(out.absolute()),
        "pause_at": job.pause_at,
    }


def _command(job: Job) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = ["--nproc-per-node", str(job.settings.processes)]
    options += ["--shutdown-timeout", str(_SECONDS_TO_SAVE)]
    return [*launcher, *options, "-m", "loraflow.train.worker", str(job.work / ORDER)]


def _follow(process: "subprocess.Popen[bytes]", history: Path, log_metric: LogMetric) -> None:
    """Hand on each step that the first process writes down from now on, until all have ended."""
    seen = _lines(history)
    while True:
        ended = process.poll() is not None
        lines = _lines(history)
        # a training that goes back to a checkpoint takes lines away and writes others
        known = len(list(takewhile(bool, map(operator.eq, seen, lines))))
        for line in lines[known:]:
            row = json.loads(line)
            step = row.pop("step")
            for name, value in row.items():
                log_metric(name, value, step)
        seen = lines
        if ended:
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _lines(history: Path) -> list[str]:
    """Return the lines that are written to their end."""
    lines = history.read_text().splitlines() if history.is_file() else []
    return [line for line in lines if line.endswith("}")]
