"""How many threads compute a pass: as many as make it faster, and no more.

A pass of a small model is hundreds of small products, and threads that sleep between them take
longer to wake than a product takes. What is left of the cores reads requests and writes replies.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Trial = Callable[[list[int]], object]
"""Runs a pass over new answers that have so many tokens each."""

_FEW = 64  # rows
_WRITING, _READING = [1] * 16, [128]  # what is measured: of a few rows, and of more
_TRIALS = 4
_CLEARLY = 1.1  # times as fast as with half of the threads
_BEYOND_DOUBT = 1.6  # one trial will do


class Threads:
    """Threads of passes over few rows or many; of torch in the thread that runs them."""

    def __init__(self, run: Trial, device: torch.device) -> None:
        """Measure how many are worth it, if a CPU computes."""
        self._few = self._many = torch.get_num_threads()
        if device.type == "cpu":
            self._few, self._many = _measured(run, _WRITING), _measured(run, _READING)

    @contextmanager
    def of(self, rows: int) -> Iterator[None]:
        """Compute a pass over `rows` rows in the block with the threads that it needs."""
        with _using(self._few if rows <= _FEW else self._many):
            yield


def _measured(run: Trial, sizes: list[int]) -> int:
    """Return the fewest threads that twice as many do not clearly beat."""
    threads = torch.get_num_threads()
    if threads > 1:
        run(sizes)  # what happens once: kernels are chosen, pages mapped
    while threads > 1 and not _are_worth_it(threads, lambda: run(sizes)):
        threads //= 2
    return threads


def _are_worth_it(threads: int, run: Callable[[], object]) -> bool:
    """Tell whether so many are clearly faster than half of them."""
    all_of_them = half = math.inf
    for _ in range(_TRIALS):  # in turns, so that other work on the machine slows both
        all_of_them = min(all_of_them, _seconds(threads, run))
        half = min(half, _seconds(threads // 2, run))
        if half > _BEYOND_DOUBT * all_of_them:
            break
    return half > _CLEARLY * all_of_them


def _seconds(threads: int, run: Callable[[], object]) -> float:
    with _using(threads):
        started = time.perf_counter()
        run()
        return time.perf_counter() - started


@contextmanager
def _using(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
