"""Which process a run belongs to, whether it still lives, and how SIGTERM ends it."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

import psutil

_CLOCK_SECONDS = 2.0  # what the start of one process may differ by when the clock is set


def this_process() -> str:
    """Name this process: host, pid, and its start in seconds since 1970."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def is_dead(name: str) -> bool:
    """Tell whether `name` is of a process of this machine that is no more.

    Another process may have its pid by now; one that started at another time is not the same.
    Names from older versions have no start, and what never had a name is nobody's.
    """
    host, _, rest = name.partition(" ")
    pid, _, started = rest.partition(" ")
    if host != socket.gethostname() or not pid:
        return False
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        age = process.create_time()
    except psutil.NoSuchProcess:
        return True
    return bool(started) and abs(age - float(started)) > _CLOCK_SECONDS


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the block, then end the process as it would have.

    Does nothing in other threads than the main one, to which Python delivers signals, and where
    somebody else (Prefect, Ray) already handles them.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    received = False

    def unwind(number: int, frame: FrameType | None) -> Never:
        nonlocal received
        received = True
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if received:  # a pool's worker would take the exit for the failure of one task
            os.kill(os.getpid(), signal.SIGTERM)
