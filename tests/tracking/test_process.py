"""A process that is gone is told from one that lives, even where its pid is in use again."""

import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from loraflow.tracking.process import is_dead, this_process

HOST = socket.gethostname()


def test_this_process_lives() -> None:
    assert not is_dead(this_process())


def test_process_that_has_ended_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        name = f"{HOST} {process.pid} {time.time():.2f}"
    assert is_dead(name)


def test_process_that_nobody_waited_for_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert is_dead(f"{HOST} {process.pid} {psutil.Process(process.pid).create_time():.2f}")


def test_pid_in_use_again_is_another_process() -> None:
    start = psutil.Process().create_time()
    assert is_dead(f"{HOST} {os.getpid()} {start - 3600:.2f}")


@pytest.mark.parametrize(
    "name",
    [f"{HOST} {os.getpid()}", f"elsewhere {os.getpid()} 1.0", ""],
    ids=["no start", "elsewhere", "no name"],  # a pid in an id differs between test processes
)
def test_what_cannot_be_told_lives(name: str) -> None:
    """Names of older versions, of other machines, and no name."""
    assert not is_dead(name)
