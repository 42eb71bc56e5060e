"""Says by how much two files of weights differ."""

from pathlib import Path

import torch
from safetensors import safe_open


def compare_weights(before: Path, now: Path) -> str:
    """Return the largest difference of a weight, one tensor in memory at a time."""
    with (
        safe_open(before, framework="pt") as old,
        safe_open(now, framework="pt") as new,
    ):
        old_names, new_names = set(old.keys()), set(new.keys())
        if old_names != new_names:
            name = min(old_names ^ new_names)
            return f"tensor {name} is in one of them only"
        gaps = {
            name: _largest(old.get_tensor(name), new.get_tensor(name)) for name in sorted(old_names)
        }
    name = max(gaps, key=lambda name: gaps[name])
    changed = sum(gap > 0 for gap in gaps.values())
    return f"{changed} of {len(gaps)} tensors; largest difference {gaps[name]:.3g}, in {name}"


def _largest(old: torch.Tensor, new: torch.Tensor) -> float:
    if old.shape != new.shape:
        return float("inf")
    return float((old.double() - new.double()).abs().max())
