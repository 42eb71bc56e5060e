"""How much a training leaves on disk, known from the model's files alone."""

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path

from loraflow.config import AdapterConfig
from loraflow.files import read_json
from loraflow.model.architectures import layer_of
from loraflow.model.targets import rank_of, target_shapes, tensor_shapes

_WIDTHS = ("hidden_size", "n_embd", "d_model", "dim")  # what architectures call the same
_MATRIX, _STACK = 2, 3  # dimensions of an expert's weight, and of all experts' in one tensor


def count_saved(adapter: AdapterConfig, folder: Path) -> int:
    """Return about how many numbers a training of the model in `folder` leaves on disk.

    Raises:
        UserError: if the adapter names modules that the model does not have.
    """
    targets = target_shapes(adapter, folder)
    if adapter.method in ("full", "head_only"):
        return sum(prod(shape) for shape in tensor_shapes(folder).values())
    if adapter.method in ("prefix", "prompt", "p_tuning"):
        return _vectors(adapter, folder)
    beside = sum(rank_of(name, adapter) * sum(shape) for name, shape in targets.items())
    if adapter.experts is None:
        return beside
    return beside + adapter.r * sum(_expert_sides(adapter, folder))


def _vectors(adapter: AdapterConfig, folder: Path) -> int:
    """Count what prompt learning keeps: vectors before the text, or before each layer's own."""
    model = read_json(folder / "config.json")
    width = next((model[name] for name in _WIDTHS if name in model), 0)
    layers = {layer_of(name) for name in tensor_shapes(folder)} - {None}
    a_token = 2 * len(layers) if adapter.method == "prefix" else 1
    return int(adapter.num_virtual_tokens * a_token * width)


def _expert_sides(adapter: AdapterConfig, folder: Path) -> Iterator[int]:
    """Yield rows plus columns of every expert's matrices, whether a file stacks them or not."""
    layers = adapter.layers_to_transform
    for name, shape in tensor_shapes(folder).items():
        if layers is not None and layer_of(name) not in layers:
            continue
        if re.search(r"\.experts\.\d+\.", name) and len(shape) == _MATRIX:
            fused = re.search(r"\.(up_proj|w3)\.", name)  # in memory one matrix with its gate
            yield shape[0] if fused else sum(shape)
        elif re.search(r"\.experts\.\w+$", name) and len(shape) == _STACK:
            yield shape[0] * sum(shape[1:])
