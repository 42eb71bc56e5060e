"""Reads the energy that processors and GPUs take up, where the machine tells."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Self

POWERCAP = Path("/sys/class/powercap")
_SECONDS_BETWEEN_READINGS = 60.0  # a counter of a hot server starts over each ten minutes or so
_MICROJOULE, _MILLIJOULE = 1e-6, 1e-3

Read = Callable[[], int]


class EnergyMeter:
    """Adds up, inside its block, what the counters of this machine say.

    They are those of Linux RAPL for whole processor packages, which often only root may read, and
    NVIDIA's of the GPUs that this process may use, if `pynvml` is installed. What others do on the
    machine at the same time is in them too.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        """Find the counters that can be read."""
        self._counters = [*_packages(powercap), *_gpus()]
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep_reading, daemon=True)

    @property
    def joules(self) -> float | None:
        """The energy so far; None: no counter can be read."""
        if not self._counters:
            return None
        return sum(counter.joules for counter in self._counters)

    def __enter__(self) -> Self:
        """Begin to count."""
        if self._counters:
            self._read()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Count no further."""
        if self._counters:
            self._left.set()
            self._thread.join()
            self._read()

    def _keep_reading(self) -> None:
        while not self._left.wait(_SECONDS_BETWEEN_READINGS):
            self._read()

    def _read(self) -> None:
        for counter in self._counters:
            counter.advance()


class _Counter:
    """A counter that only grows, and may start over behind its largest value."""

    def __init__(self, read: Read, unit: float, largest: int = 0) -> None:
        self._read = read
        self._unit = unit
        self._largest = largest
        self._last: int | None = None
        self.joules = 0.0

    def advance(self) -> None:
        """Add what came since the last reading."""
        now = self._read()
        grown = 0 if self._last is None else now - self._last
        self.joules += self._unit * (grown if grown >= 0 else grown + self._largest)
        self._last = now


def _packages(powercap: Path) -> Iterator[_Counter]:
    """Yield processor packages; cores and memory are zones inside them, counted by them.

    Documentation/power/powercap/powercap.rst of Linux. Zones of AMD are called intel-rapl too.
    """
    for zone in sorted(powercap.glob("intel-rapl:*")):
        with suppress(OSError, ValueError):
            if (zone / "name").read_text().startswith("package"):
                read = _reader(zone / "energy_uj")
                read()  # raises where it is forbidden
                yield _Counter(read, _MICROJOULE, int((zone / "max_energy_range_uj").read_text()))


def _reader(path: Path) -> Read:
    return lambda: int(path.read_text())


def _gpus() -> Iterator[_Counter]:
    """Yield GPUs; those older than Volta have no counter."""
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return
    with suppress(nvml.NVMLError):
        nvml.nvmlInit()
        for handle in _handles(nvml):
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            yield _Counter(_gpu_reader(nvml, handle), _MILLIJOULE)


def _handles(nvml: Any) -> Iterator[Any]:
    everything = ",".join(map(str, range(nvml.nvmlDeviceGetCount())))
    names = os.environ.get("CUDA_VISIBLE_DEVICES", everything)
    for name in filter(None, names.split(",")):
        by_index = name.isdigit()
        yield (
            nvml.nvmlDeviceGetHandleByIndex(int(name))
            if by_index
            else nvml.nvmlDeviceGetHandleByUUID(name)
        )


def _gpu_reader(nvml: Any, handle: Any) -> Read:
    return lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
