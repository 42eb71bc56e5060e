"""Where the trials of a sweep run: here, in several processes, or on a Dask or Ray cluster.

Scheduling is Prefect's task runners' and the clusters' work; what a killed worker was doing is
handed out again, and goes on from its checkpoint. A trial whose worker dies a second time, with no
other beside it, has failed.
"""

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from flows.estimate import trainings_of
from flows.gpus import require_gpus, take_gpus
from flows.trial import Assignment, run_trial
from loraflow.check import load_config
from loraflow.config import RunnerConfig
from loraflow.errors import UserError
from loraflow.model.source import find_base
from loraflow.parallel import start_worker
from loraflow.preflight import check_model
from loraflow.sweep.outcome import Notes
from loraflow.sweep.request import Request
from loraflow.sweep.trials import Trial

if TYPE_CHECKING:
    from loraflow.estimate.shapes import Training

log = logging.getLogger("loraflow")

_DIED = (
    "its process was killed twice, the second time with no other trial beside it; most likely "
    "memory ran out: lower train.per_device_train_batch_size or train.max_length"
)

IsDone = Callable[[Assignment], bool]


def run_trials(assignments: Sequence[Assignment], config: RunnerConfig, is_done: IsDone) -> None:
    """Run trials, each a task; how each ended is in the notes. A failed one stops no other.

    `is_done` tells whether a trial has ended, however it did; one that has not was with a worker
    that died. Which of them was to blame nobody says, so the first goes on alone.

    Raises:
        UserError: if the cluster's library is not installed.
    """
    count = len(assignments)
    assignments = [
        replace(one, place=f"{number} of {count}") for number, one in enumerate(assignments, 1)
    ]
    if config.kind == "local":
        for assignment in assignments:
            _task(assignment)(assignment, return_state=True)
        return
    share = 1 if config.address else config.workers
    gpu_share = 1 if config.gpus else share  # with GPUs of their own, or all on the first
    left = [replace(one, share=share, gpu_share=gpu_share) for one in assignments]
    while left:
        _submit(left, config)
        if left := [one for one in left if not is_done(one)]:
            suspect, *left = left
            log.warning("a worker died; %s goes on alone", suspect.order.trial.name)
            _submit([suspect], config)
            if not is_done(suspect):
                _note_death(suspect)


def _submit(assignments: Sequence[Assignment], config: RunnerConfig) -> None:
    """Run trials on workers, until all have ended or one of the workers has died."""
    with _RUNNERS[config.kind](config) as runner:
        for future in [runner.submit(_task(one), {"assignment": one}) for one in assignments]:
            future.wait()


def _note_death(assignment: Assignment) -> None:
    trial = assignment.order.trial
    Notes(assignment.notes).write_failure(trial, _DIED)
    log.warning("trial %s failed: %s", trial.name, _DIED)


def require_ready(request: Request) -> None:
    """Check all before any trial starts: GPUs, and every arm against its base and part of memory.

    Raises:
        UserError: names the runner's keys, or the arm, the fault and the fix.
    """
    require_gpus(request.runner)
    find = cache(find_base)  # a base is hashed once, however many arms stand on it
    for trial in [*request.controls(), *request.samples()]:
        config = load_config(request.settings_of(trial))
        base = find(config.model, config.quantization)
        try:
            check_model(config, base.folder)
        except UserError as error:
            raise UserError(f"{trial.arm}: {error}") from error
        if request.runner.workers > 1 and not (request.runner.address or trial.is_control):
            _require_memory(trial, trainings_of(config, base), request.runner)


def _require_memory(
    trial: Trial, trainings: "Mapping[str, Training]", runner: RunnerConfig
) -> None:
    """Refuse more workers on this machine than its memory has room for."""
    from loraflow.estimate.machine import this_machine
    from loraflow.estimate.memory import GIB
    from loraflow.estimate.proposals import require_memory

    machine = this_machine()
    each = machine if machine.is_gpu and runner.gpus else machine.part(runner.workers)
    try:
        require_memory(trainings, each)
    except UserError as error:
        raise UserError(
            f"runner.workers={runner.workers} leaves each trial {each.total / GIB:.1f} GiB of "
            f"{each.kind}; {trial.arm}: {error}; or lower runner.workers"
        ) from error


def _task(assignment: Assignment) -> Any:
    """Name the task by the trial's values; its outcome is in the notes, so nothing is cached."""
    name = assignment.order.trial.name.replace("{", "(").replace("}", ")")
    return Task(
        run_trial, name="trial", task_run_name=name, persist_result=False, cache_policy=NO_CACHE
    )


@contextmanager
def _processes(config: RunnerConfig) -> Iterator[TaskRunner[Any]]:
    with (
        suppress(BrokenProcessPool),
        ProcessPoolTaskRunner(
            config.workers, initializer=_start_worker, initargs=(config.gpus,)
        ) as runner,
    ):
        try:
            yield runner
        except BrokenProcessPool:  # one has died, and the pool tells the others itself
            raise
        except BaseException:  # Ctrl-C, SIGTERM: the pool would let trainings end, and begin others
            # one is told, and the pool tells the others when it ends: each stops behind its step,
            # with a checkpoint, and told twice it would stop without
            for worker in multiprocessing.active_children()[:1]:
                worker.terminate()
            raise


def _start_worker(gpus: int) -> None:
    """End with the sweep, leave Ctrl-C to it, and take GPUs that no other worker has."""
    start_worker()
    take_gpus(gpus)


@contextmanager
def _dask(config: RunnerConfig) -> Iterator[TaskRunner[Any]]:
    try:
        import dask
        from distributed.scheduler import KilledWorker
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise UserError(_missing("dask", error)) from error
    cluster = {"n_workers": config.workers, "threads_per_worker": 1, "dashboard_address": None}
    resources = {"GPU": config.gpus} if config.gpus else {}
    where = {"address": config.address} if config.address else {"cluster_kwargs": cluster}
    made = DaskTaskRunner(**where)
    with suppress(KilledWorker), dask.annotate(resources=resources), made as runner:
        yield runner


@contextmanager
def _ray(config: RunnerConfig) -> Iterator[TaskRunner[Any]]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    try:
        from prefect_ray import RayTaskRunner
        from prefect_ray.context import remote_options
        from ray.exceptions import RayError
    except ImportError as error:
        raise UserError(_missing("ray", error)) from error
    local = {"num_cpus": config.workers, "include_dashboard": False}
    made = (
        RayTaskRunner(address=config.address)
        if config.address
        else RayTaskRunner(init_kwargs=local)
    )
    with suppress(RayError), remote_options(num_cpus=1, num_gpus=config.gpus), made as runner:
        yield runner


def _missing(extra: str, error: ImportError) -> str:
    return (
        f"runner={extra} needs packages that are not installed ({error}); run "
        f".venv/bin/pip install 'loraflow[{extra}]', or set runner=local"
    )


_RUNNERS = {"processes": _processes, "dask": _dask, "ray": _ray}
