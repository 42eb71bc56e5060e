"""Runs a training to its end: from a checkpoint if there is one, slower again if it diverges."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from loraflow.errors import Paused
from loraflow.files import HISTORY, read_json, read_lines, write_json, write_lines
from loraflow.progress import progress
from loraflow.train.build import build_trainer
from loraflow.train.checkpoint import Checkpoint, forget_checkpoints, newest_checkpoint
from loraflow.train.divergence import Diverged
from loraflow.train.interrupt import StopOnSignal
from loraflow.train.job import Job
from loraflow.train.report import Report
from loraflow.train.rows import planned_steps

log = logging.getLogger(__name__)


def run_attempts(job: Job) -> Any:
    """Return the trainer, done.

    A training that diverges goes back to the last checkpoint before, with half the learning rate,
    `train.divergence.retries` times; how often is kept beside the checkpoints.

    Raises:
        Diverged: if it does so once more.
        Paused: behind the step `job.pause_at`, unless that is the last one.
    """
    job.work.mkdir(parents=True, exist_ok=True)
    noted = job.work / "halvings.json"
    halvings = read_json(noted)["halvings"] if noted.is_file() else 0
    checkpoint = newest_checkpoint(job.work / "checkpoints")
    if checkpoint is not None and _has_paused(job, checkpoint.step):
        raise Paused(checkpoint.step, planned_steps(job))
    while True:
        try:
            return _attempt(job, checkpoint, halvings)
        except Diverged as diverged:
            if halvings == job.settings.divergence.retries:
                raise
            halvings += 1
            write_json(noted, {"halvings": halvings})
            forget_checkpoints(job.work / "checkpoints", diverged.suspect_from)
            checkpoint = newest_checkpoint(job.work / "checkpoints")
            log.warning(
                "%s\ngoing back to step %d with half the learning rate (retry %d of %d)",
                diverged,
                checkpoint.step if checkpoint else 0,
                halvings,
                job.settings.divergence.retries,
            )


def _has_paused(job: Job, step: int) -> bool:
    """Tell whether an earlier process came as far as this one is to."""
    return job.pause_at is not None and job.pause_at <= step < planned_steps(job)


def _attempt(job: Job, checkpoint: Checkpoint | None, halvings: int) -> Any:
    if checkpoint is None and halvings:
        slower = job.settings.learning_rate / 2**halvings
        job = replace(job, settings=replace(job.settings, learning_rate=slower))
    trainer = build_trainer(job)
    trainer.halvings = halvings
    stop = StopOnSignal()
    step = checkpoint.step if checkpoint else 0
    with _reporting(trainer, job, step), stop.listening():
        trainer.add_callback(stop)
        _train(trainer, checkpoint)
    losses = [row["train/loss"] for row in read_lines(job.work / HISTORY) if "train/loss" in row]
    trainer.last_loss = losses[-1]
    return trainer


@contextmanager
def _reporting(trainer: Any, job: Job, step: int) -> Iterator[None]:
    """Have the first process show and write down each step behind `step`."""
    if not trainer.is_world_process_zero():
        yield
        return
    history = _history_up_to(job.work / HISTORY, step)
    with (
        history.open("a", encoding="utf-8") as file,
        progress("train", planned_steps(job), "steps") as bar,
    ):
        bar.update(step)
        trainer.add_callback(Report(trainer, history=file, bar=bar, log=job.log_metric))
        yield


def _train(trainer: Any, checkpoint: Checkpoint | None) -> None:
    """Train and note how fast, loading aside."""
    rank = trainer.args.process_index
    tokens = checkpoint.state()["tokens_read"][rank] if checkpoint else 0
    started = time.monotonic()
    if checkpoint is None:
        trainer.train()
    else:
        log.info("going on from step %d", checkpoint.step)
        trainer.resume(checkpoint)
    trainer.tokens_per_second = (trainer.tokens_read - tokens) / (time.monotonic() - started)


def _history_up_to(history: Path, step: int) -> Path:
    """Forget the steps behind the checkpoint, which are done again."""
    rows = [row for row in read_lines(history) if row["step"] <= step] if history.is_file() else []
    partial = history.with_suffix(".partial")
    write_lines(partial, rows)
    partial.replace(history)  # whole at each moment, for a launcher that reads it
    return history
