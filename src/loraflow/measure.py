"""What a piece of work costs: seconds, peak memory and energy."""

import gc
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from loraflow.energy import EnergyMeter

_GIB = 2**30

LogMetric = Callable[[str, float, int], None]
"""Takes the name of a metric, its value and the step."""


@dataclass
class Cost:
    """Filled in when the measured block ends, also if an error ends it."""

    seconds: float = 0.0
    peak_memory_gib: float = 0.0  # of this process, in RAM
    peak_gpu_memory_gib: float = 0.0  # allocated by torch on the current GPU
    energy_joules: float | None = None  # of the machine; None: it does not tell

    def as_dict(self) -> dict[str, float | None]:
        """Return the figures under their names, rounded to what can be measured."""
        return {
            name: None if value is None else round(value, 3) for name, value in asdict(self).items()
        }

    def behind(self, earlier: "Cost") -> "Cost":
        """Return the cost of work that was done in two stretches, this one the later."""
        known = None not in (earlier.energy_joules, self.energy_joules)
        return Cost(
            earlier.seconds + self.seconds,
            max(earlier.peak_memory_gib, self.peak_memory_gib),
            max(earlier.peak_gpu_memory_gib, self.peak_gpu_memory_gib),
            (earlier.energy_joules or 0) + (self.energy_joules or 0) if known else None,
        )


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block. On Linux the RAM peak is the block's, elsewhere the process's so far."""
    cost = Cost()
    gc.collect()  # what came before, a trainer and its cycles say, is not this block's memory
    _reset_peaks()
    start = time.monotonic()
    meter = EnergyMeter()
    try:
        with meter:
            yield cost
    finally:
        cost.seconds = time.monotonic() - start
        cost.energy_joules = meter.joules
        cost.peak_memory_gib = _peak_memory() / _GIB
        cost.peak_gpu_memory_gib = _peak_gpu_memory() / _GIB


def _reset_peaks() -> None:
    with suppress(OSError):  # not on macOS, nor in some containers
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)
    if _cuda_in_use():
        sys.modules["torch"].cuda.reset_peak_memory_stats()


def _peak_memory() -> int:
    with suppress(OSError, IndexError):
        kib = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
        return int(kib) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _peak_gpu_memory() -> int:
    return int(sys.modules["torch"].cuda.max_memory_allocated()) if _cuda_in_use() else 0


def _cuda_in_use() -> bool:
    """Ask without importing torch, which a stage that only reads text need not wait for."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()
