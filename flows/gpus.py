"""The GPUs of this machine that a sweep may use, and those that each of its workers has alone."""

import fcntl
import logging
import os
import tempfile
import time
from pathlib import Path

from loraflow.config import RunnerConfig
from loraflow.errors import UserError

log = logging.getLogger("loraflow")

_SECONDS_BETWEEN_LOOKS = 5.0


def require_gpus(runner: RunnerConfig) -> None:
    """Refuse more workers on this machine than it has GPUs for.

    Raises:
        UserError: names the keys, their values and the fix.
    """
    if runner.address or not runner.gpus:
        return
    needed, there = runner.workers * runner.gpus, len(visible_gpus())
    if needed > there:
        raise UserError(
            f"runner.workers={runner.workers} with runner.gpus={runner.gpus} need {needed} GPUs, "
            f"and {there} can be seen; lower runner.workers, or set runner.gpus=0, which lets "
            "trials share one"
        )


def take_gpus(number: int) -> None:
    """Let this process see only so many GPUs, of those that no other worker has; wait for them.

    The locks are never let go of: the system does so when the process ends, however it does.
    """
    if not number:
        return
    if not (taken := _take_free(number)):
        log.warning("the workers of another sweep have the GPUs; waiting until %d are free", number)
    while not taken:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        taken = _take_free(number)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)


def _take_free(number: int) -> list[str]:
    """Lock so many GPUs and name them; none, if fewer are free: others may wait for those."""
    locks: dict[str, int] = {}
    for name in visible_gpus():
        descriptor = os.open(_lock_file(name), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        locks[name] = descriptor
        if len(locks) == number:
            return list(locks)
    for descriptor in locks.values():
        os.close(descriptor)
    return []


def _lock_file(gpu: str) -> Path:
    name = f"loraflow-{os.getuid()}-gpu-{gpu.replace('/', '-')}.lock"
    return Path(tempfile.gettempdir()) / name


def visible_gpus() -> list[str]:
    """Name the GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES has."""
    count = _count_gpus()
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in names.split(",")][:count]


def _count_gpus() -> int:
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # asks the driver, starts nothing
    import torch

    return torch.cuda.device_count()
