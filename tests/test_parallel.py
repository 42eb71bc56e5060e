"""Work spread over processes comes back in order, takes little ahead, and leaves nobody behind."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from pathlib import Path

import psutil
import pytest

from loraflow.parallel import map_in_order, usable_cores

WORKERS = """
import os
from itertools import count
from loraflow.parallel import map_in_order

def name_worker(piece):
    return os.getpid()

if __name__ == "__main__":
    for worker in map_in_order(name_worker, count(), processes=2):
        print(worker, flush=True)
"""


def test_results_come_in_the_order_of_the_pieces() -> None:
    # the first pieces take by far the longest
    pieces = [20_000, 10, 15_000, *range(40)]
    assert list(map_in_order(math.factorial, pieces, processes=2)) == [
        math.factorial(piece) for piece in pieces
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_no_pieces_give_no_results(processes: int) -> None:
    assert list(map_in_order(math.factorial, [], processes=processes)) == []


def test_one_process_is_this_one() -> None:
    assert list(map_in_order(name_process, [1, 2], processes=1)) == [os.getpid()] * 2


def test_one_process_takes_a_piece_when_it_is_asked_for_a_result() -> None:
    taken: list[int] = []
    results = map_in_order(math.factorial, noting(taken), processes=1)
    assert [next(results), next(results)] == [1, 1]
    assert taken == [0, 1]


def test_only_a_few_pieces_are_taken_ahead_of_the_reader() -> None:
    taken: list[int] = []
    results = map_in_order(math.factorial, noting(taken), processes=2)
    for read in range(1, 30):
        next(results)
        assert len(taken) <= read + 6
    results.close()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("processes", [1, 2])
def test_exception_of_the_work_reaches_the_caller(processes: int) -> None:
    results = map_in_order(math.factorial, [1, 2, -1, *range(50)], processes=processes)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="negative"):
        next(results)


@pytest.mark.parametrize("processes", [1, 2])
def test_exception_of_the_reading_reaches_the_caller(processes: int) -> None:
    def broken() -> Iterator[int]:
        yield 3
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(map_in_order(math.factorial, broken(), processes=processes))


def test_worker_that_dies_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(BrokenProcessPool):
        list(map_in_order(os._exit, range(9), processes=2))


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().strip().isdigit()
        children = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=30)
    assert all(child.status() == psutil.STATUS_ZOMBIE for child in alive)  # nobody to reap them


def test_at_least_one_core_is_usable() -> None:
    assert usable_cores() >= 1


def name_process(_: int) -> int:
    return os.getpid()


def noting(taken: list[int]) -> Iterator[int]:
    """Count without end, and note how far."""
    for number in count():
        taken.append(number)
        yield number
