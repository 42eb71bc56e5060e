"""How much memory this machine has for a training: RAM within its group's limits, or a GPU's."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from loraflow.parallel import gpu_share, machine_share

_CGROUPS = Path("/sys/fs/cgroup")
_OF_PROCESS = Path("/proc/self/cgroup")
_UNLIMITED = 2**60  # version 1 writes a number near 2**63 for "no limit"


@dataclass(frozen=True)
class Machine:
    """The memory that a training is held in."""

    kind: str  # "RAM", or the name of the GPU
    total: int  # bytes
    free: int  # of them now, this process's own included

    @property
    def is_gpu(self) -> bool:
        """Tell whether weights and activations go to a GPU."""
        return self.kind != "RAM"

    def part(self, workers: int) -> "Machine":
        """Return what each of several workers has."""
        return Machine(self.kind, self.total // workers, self.free // workers)


def this_machine() -> Machine:
    """Return the GPU of this process if there is one, else the RAM that it may use.

    Of what several workers share it is this one's part.
    """
    gpu = _gpu()
    found, share = (gpu, gpu_share()) if gpu else (_ram(), machine_share())
    part = found.total // share
    # what others hold already is not free: dividing the rest would count them twice
    return Machine(found.kind, part, min(part, found.free))


def _gpu() -> Machine | None:
    import torch  # noqa: PLC0415 - who asks about RAM alone need not wait for it

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    own = torch.cuda.memory_reserved()
    return Machine(torch.cuda.get_device_name(), total, free + own)


def _ram() -> Machine:
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    for limit, used in _group_limits():
        total, free = min(total, limit), min(free, limit - used)
    own = psutil.Process().memory_info().rss
    return Machine("RAM", total, min(total, max(0, free) + own))


def _group_limits() -> Iterator[tuple[int, int]]:
    """Yield limit and use, in bytes, of each control group that this process is in (Linux)."""
    if sys.platform != "linux" or not _OF_PROCESS.is_file():
        return
    for line in _OF_PROCESS.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _limits(_CGROUPS, path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            yield from _limits(_CGROUPS / "memory", path, *names)


def _limits(root: Path, path: str, limit_name: str, use_name: str) -> Iterator[tuple[int, int]]:
    """A limit may stand at any group above; in a container the root is the group itself."""
    folder = root / path.lstrip("/")
    for group in (folder, *folder.parents):
        if root not in (group, *group.parents):
            return
        limit, used = _number(group / limit_name), _number(group / use_name)
        if limit is not None and limit < _UNLIMITED:
            yield limit, max(0, (used or 0) - _reclaimable(group))


def _reclaimable(group: Path) -> int:
    """Return the bytes of files that the group has read and that can be read again."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    values = dict(line.split() for line in lines if len(line.split()) == 2)  # noqa: PLR2004 - name, value
    return int(values.get("total_inactive_file", values.get("inactive_file", 0)))


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
