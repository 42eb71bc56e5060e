"""A pass gets the threads that make it faster, and leaves those of others alone."""

import time
from collections.abc import Iterator

import pytest
import torch

from loraflow.serve.engine.threads import Threads

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def shared(_: list[int]) -> None:
    time.sleep(0.02 / torch.get_num_threads())


def overhead(sizes: list[int]) -> None:
    """Only what has many tokens gains."""
    time.sleep(0.005 if max(sizes) == 1 else 0.02 / torch.get_num_threads())


def used(threads: Threads, rows: int) -> int:
    with threads.of(rows):
        return torch.get_num_threads()


def test_threads_that_help_are_kept() -> None:
    assert used(Threads(shared, CPU), 1) == 4


def test_a_pass_that_threads_do_not_help_has_one_and_one_over_many_rows_has_all() -> None:
    threads = Threads(overhead, CPU)
    assert used(threads, 16) == 1
    assert used(threads, 256) == torch.get_num_threads() == 4


def test_nothing_is_measured_where_no_cpu_computes() -> None:
    assert used(Threads(shared, torch.device("meta")), 1) == 4
