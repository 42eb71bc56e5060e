"""Sets this process up to train fast: its GPU, threads, an allocator that keeps large buffers."""

import ctypes
import logging
import os
import sys

import psutil
import torch

from loraflow.config import SpeedConfig
from loraflow.errors import UserError
from loraflow.parallel import machine_share

log = logging.getLogger(__name__)

# parameters of glibc's mallopt, from malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def prepare_machine(speed: SpeedConfig, processes: int) -> None:
    """Choose the threads of matrix products, and let glibc keep large buffers between steps.

    `processes` share the cores, with other workers of this machine if there are any.
    """
    torch.set_num_threads(speed.threads or max(1, _cores() // processes // machine_share()))
    if speed.keep_memory and sys.platform == "linux":
        _keep_memory()


def take_gpu(processes: int) -> None:
    """Compute on the GPU of this one of `processes`: what loads a model asks which it is.

    Raises:
        UserError: if there are GPUs, and not one for each process.
    """
    gpus = torch.cuda.device_count()
    if gpus == 0:
        return
    place = int(os.environ["LOCAL_RANK"])  # torchrun's, from 0
    if place >= gpus:
        raise UserError(
            f"train.processes={processes} needs as many GPUs, and there are {gpus} to be seen; "
            f"set train.processes={gpus}"
        )
    torch.cuda.set_device(place)


def _cores() -> int:
    """Return the physical cores that this process may use: two threads on one gain nothing."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return max(
        1, min(physical, len(os.sched_getaffinity(0)) if sys.platform == "linux" else physical)
    )


def _keep_memory() -> None:
    """Take large buffers from the heap, and never give the heap's end back.

    By default glibc maps each large buffer anew and unmaps it when it is freed, so that every step
    waits for the kernel to clear the same gigabytes. The environment variables
    MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ do the same, but only when they are set before
    the process starts.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return
    if not (mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER)):
        log.info("the allocator does not keep memory between steps: this C library refuses")
