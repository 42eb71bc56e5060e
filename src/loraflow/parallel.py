"""Spreads pieces of work over processes, and hands the results back in order."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import TypeVar

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")

_AHEAD = 3  # pieces a process may be ahead of the reader: enough to be busy, few to hold


def map_in_order(
    function: Callable[[_Work], _Result], pieces: Iterable[_Work], *, processes: int
) -> Iterator[_Result]:
    """Yield `function(piece)` for each piece, in order; with one process, in this one.

    Only a few pieces are in memory at a time. Should this process be killed, its workers end.
    """
    if processes == 1:
        yield from map(function, pieces)
        return
    # spawn: a fork would copy the locks of threads that Prefect and MLflow run
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=start_worker) as pool:
        waiting: deque[Future[_Result]] = deque()
        try:
            for piece in pieces:
                waiting.append(pool.submit(function, piece))
                if len(waiting) >= processes * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def usable_cores() -> int:
    """Return how many processes can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_machine(workers: int, *, of_gpu: int) -> None:
    """Let this process have one part in `workers` of the machine's cores and RAM.

    Its GPU is shared by `of_gpu` such processes.
    """
    os.environ[_SHARE], os.environ[_GPU_SHARE] = str(workers), str(of_gpu)


def machine_share() -> int:
    """Return among how many such processes the machine is divided."""
    return int(os.environ.get(_SHARE, "1"))


def gpu_share() -> int:
    """Return among how many such processes the GPU is divided."""
    return int(os.environ.get(_GPU_SHARE, "1"))


_SHARE, _GPU_SHARE = "LORAFLOW_MACHINE_SHARE", "LORAFLOW_GPU_SHARE"


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it, even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
