"""A lock holds between processes, and goes with the process that has it."""

import subprocess
import sys
from pathlib import Path

import pytest

from loraflow.lock import is_held, locked

HOLD = """
import logging, sys
from pathlib import Path
from loraflow.lock import locked

logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start(path: Path) -> "subprocess.Popen[str]":
    """Start a process that holds the lock until its standard input closes."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_lock_that_never_was_is_not_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()


def test_lock_is_held_within_the_block_only(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "lock"
    with locked(path):
        assert is_held(path)
    assert not is_held(path)


def test_block_that_raises_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
        raise ZeroDivisionError
    assert not is_held(tmp_path / "lock")


def test_killed_process_frees_its_lock(tmp_path: Path) -> None:
    with start(tmp_path / "lock") as process:
        assert next_line(process) == "held\n"
        assert is_held(tmp_path / "lock")
        process.kill()
    assert not is_held(tmp_path / "lock")
    with locked(tmp_path / "lock"):
        assert is_held(tmp_path / "lock")


def test_second_process_says_that_it_waits_for_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path):
        waiting = start(path)
        assert next_line(waiting) == f"another process holds {path}; waiting for it\n"
    assert waiting.communicate(timeout=60)[0] == "held\n"
