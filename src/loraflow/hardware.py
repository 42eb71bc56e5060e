"""What an output was computed on: another processor rounds in another way."""

import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

from loraflow.parallel import usable_cores


def hardware() -> dict[str, Any]:
    """Return the processor, the GPUs in use, and the threads of matrix products, as JSON values.

    Asks without importing torch: a stage that only reads text has no GPU, and all cores.
    """
    torch = sys.modules.get("torch")
    gpus: list[str] = []
    if torch is not None and torch.cuda.is_initialized():
        gpus = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    return {
        "processor": _processor(),
        "gpus": gpus,
        "threads": usable_cores() if torch is None else torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


@cache
def _processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()
