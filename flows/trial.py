"""One trial of a sweep: an experiment as a single task, in whichever process it is run."""

import gc
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import State
from prefect.states import Cancelled, Completed

from flows.command import set_environment
from flows.evaluation import models_of
from flows.pipeline import Finished, Ready, get_ready, run_experiment
from flows.running import run_plainly
from flows.stages import Stages
from loraflow.check import load_config
from loraflow.config import TrainConfig
from loraflow.errors import Paused, Pruned
from loraflow.measure import LogMetric
from loraflow.parallel import share_machine
from loraflow.store import Key, Store
from loraflow.sweep.outcome import Notes, Outcome, read_curves
from loraflow.sweep.pruning import Pruning
from loraflow.sweep.trials import Trial
from loraflow.tracking.reason import reason_of

if TYPE_CHECKING:
    from loraflow.evaluate.report.content import EvaluationPage
    from loraflow.model.lend import ModelLender
    from loraflow.tracking.run import Run

log = logging.getLogger("loraflow")

_LIBRARIES = ("loraflow.train.run", "loraflow.evaluate.measuring", "loraflow.tracking.sweep")
_NO_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory")


@dataclass(frozen=True)
class Order:
    """A trial that is to be run, and what may stop it."""

    trial: Trial
    pruning: Pruning | None = None
    pause_at: int | None = None  # step behind which it waits for others of its arm


@dataclass(frozen=True)
class Assignment:
    """What a worker gets; can be pickled."""

    order: Order
    settings: Mapping[str, Any]
    notes: Path  # of the sweep
    parent: str  # MLflow run of the sweep
    folder: Path  # that the sweep was started in
    place: str = ""  # among those that run now: "3 of 16"
    share: int = 1  # of how many workers of this machine this is one
    gpu_share: int = 1  # of how many that compute on the same GPU


def run_trial(assignment: Assignment) -> "Outcome | State[Outcome]":
    """Run a trial, or what is left of it, and note how it ended; one that is done is not repeated.

    Ends as `Cached`, `Paused` or `Pruned` in the dashboard where it was so. An error is noted and
    raised.
    """
    set_environment()
    os.chdir(assignment.folder)  # a worker may have been started elsewhere
    share_machine(assignment.share, of_gpu=assignment.gpu_share)
    order, notes = assignment.order, Notes(assignment.notes)
    trial = order.trial
    with notes.alone(trial):
        earlier = notes.read(trial)
        if earlier is not None and earlier.is_there(assignment.parent, order.pause_at):
            return _shown(earlier) or Completed(name="Cached", message="done before", data=earlier)
        log.info("trial %s: %s", assignment.place, trial.name)
        try:
            outcome = _run(assignment)
        except Exception as error:
            _note_failure(notes, trial, error)
            raise
        notes.write(trial, replace(outcome, failures=earlier.failures if earlier else 0))
    return _shown(outcome) or outcome


def _shown(outcome: Outcome) -> "State[Outcome] | None":
    """Return how a trial that is not finished is shown in the dashboard."""
    if outcome.state == "pruned":
        return Cancelled(name="Pruned", message=outcome.reason, data=outcome)
    if outcome.state == "paused":
        return Completed(name="Paused", message=outcome.reason, data=outcome)
    return None


def _run(assignment: Assignment) -> Outcome:
    config, order = load_config(assignment.settings), assignment.order
    base, judge = models_of(config)
    stages = Stages(Store(config.store), base, run_plainly, warm_base())
    ready = get_ready(config, stages, judge)
    try:
        done = run_experiment(
            ready,
            _record,
            name=order.trial.name,
            parent=assignment.parent,
            watch=_watch(order.pruning, config.train),
            pause_at=order.pause_at,
        )
    except Pruned as pruned:
        return _stopped(order.trial, pruned, stages.store, ready.plan.last.train)
    return _outcome(assignment, done)


def _stopped(trial: Trial, pruned: Pruned, store: Store, key: Key) -> Outcome:
    """Return how far a training came; one that ended before it could pause is in the store."""
    trained = store.folder(key) if store.has(key) else None
    losses, validation = read_curves(trained or store.work(key))
    stopped = Outcome(trial.name, "pruned", str(pruned), losses=losses, validation=validation)
    if isinstance(pruned, Paused):
        return replace(stopped, state="paused", step=pruned.step, trained=str(trained or ""))
    return stopped


def _watch(pruning: Pruning | None, train: TrainConfig) -> Callable[[LogMetric], LogMetric]:
    """Return what puts the study between a training and its log, where there is one to prune it."""
    if pruning is None or train.early_stopping is None:
        return lambda log_metric: log_metric
    return partial(pruning.watch, first_look=train.early_stopping.steps)


def _outcome(assignment: Assignment, done: Finished) -> Outcome:
    arm = done.outputs.tuned or done.outputs.base
    losses, validation = read_curves(done.trained)
    return Outcome(
        assignment.order.trial.name,
        "finished",
        parent=assignment.parent,
        url=done.url,
        trained=str(done.trained),
        evaluated=str(arm.evaluate),
        graded=str(arm.grade or ""),
        losses=losses,
        validation=validation,
    )


def _record(run: "Run", ready: Ready, page: "EvaluationPage") -> None:
    from loraflow.tracking.sweep import record_trial

    stages = ready.stages
    record_trial(run, ready.config, ready.plan, stages.store, base=stages.base, page=page)


def _note_failure(notes: Notes, trial: Trial, error: Exception) -> None:
    reason = _reason_of(error)
    notes.write_failure(trial, reason)
    log.warning("trial %s failed: %s", trial.name, reason)


def _reason_of(error: Exception) -> str:
    """Say why a trial failed, secrets masked, and what to do where memory was short."""
    reason = reason_of(error)
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return (
            f"out of memory: {reason.partition(chr(10))[0]}; lower "
            "train.per_device_train_batch_size or train.max_length, or evaluate.batch_size if it "
            "was trained already"
        )
    return reason


@cache
def warm_base() -> "ModelLender":
    """Return this process's lender, whose base outlives a trial: the next one need not load it.

    The first call imports what trials need.
    """
    _import_libraries()
    from loraflow.model.lend import ModelLender

    return ModelLender()


def forget_base() -> None:
    """Let go of the base that this process holds: others need the memory."""
    if warm_base.cache_info().currsize:
        warm_base().close()


def _import_libraries() -> None:
    """Import what trials need, out of the garbage collector's sight.

    These are some 800,000 objects that stay. It would go over them while they become more, which
    takes a third of the time, before each stage, and at the end.
    """
    gc.disable()
    try:
        for name in _LIBRARIES:
            import_module(name)
        gc.freeze()
    finally:
        gc.enable()
