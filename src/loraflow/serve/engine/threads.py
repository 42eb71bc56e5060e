"""How many threads compute a pass: as many as make it faster, and no more.

A pass for a few answers is hundreds of small products, and threads that sleep between them take
longer to wake than a product takes. What is left of the cores reads requests and writes replies.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_FEW = 64  # rows; more of them are shared among all threads
_MEASURED = 16  # rows
_TRIALS = 4
_CLEARLY = 1.1  # times as fast as with half of the threads


class Threads:
    """Threads of passes over many rows or few; of torch in the thread that runs them."""

    def __init__(self, run: Callable[[int], object], device: torch.device) -> None:
        """Measure how many a pass over few rows needs: `run` computes one over so many rows."""
        self._all = torch.get_num_threads()
        self._few = self._all
        if device.type == "cpu":
            run(_MEASURED)  # what happens once: kernels are chosen, pages mapped
            while self._few > 1 and not self._is_worth_it(run):
                self._few //= 2

    @contextmanager
    def of(self, rows: int) -> Iterator[None]:
        """Compute a pass over `rows` rows in the block with the threads that it needs."""
        with _using(self._few if rows <= _FEW else self._all):
            yield

    def _is_worth_it(self, run: Callable[[int], object]) -> bool:
        """Tell whether so many are clearly faster than half of them."""
        seconds = {self._few: math.inf, self._few // 2: math.inf}
        for _ in range(_TRIALS):  # in turns, so that other work on the machine slows both
            for threads, least in seconds.items():
                with _using(threads):
                    started = time.perf_counter()
                    run(_MEASURED)
                    seconds[threads] = min(least, time.perf_counter() - started)
        return seconds[self._few // 2] > _CLEARLY * seconds[self._few]


@contextmanager
def _using(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
