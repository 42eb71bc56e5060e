"""Traces few layers and extends to all: layers of one kind take the same memory."""

import copy
from collections import Counter
from typing import Any

from torch import nn

from loraflow.estimate.shapes import Model, Training, layers_of
from loraflow.estimate.step import trace_step
from loraflow.estimate.trace import Parts

Peaks = dict[str, Parts]
"""Phase of a micro-batch -> what is alive at its peak."""

_FEW = 2  # layers of a kind: the first, the last; what one more adds is then the same for all
_MOST_KINDS = 3  # a model of more kinds is traced whole


def trace_all(model: Model, training: Training) -> Peaks:
    """Return the peaks of a micro-batch of the whole model; `model` is spent."""
    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    name, layers = layers_of(inside)
    kinds: dict[Any, list[nn.Module]] = {}
    for layer in layers:
        kinds.setdefault(_kind(layer), []).append(layer)
    if not 1 <= len(kinds) <= _MOST_KINDS or len(layers) <= _FEW:
        return trace_step(model, training, name)

    def trace(chosen: list[nn.Module]) -> Peaks:
        inside.set_submodule(name, nn.ModuleList(chosen))
        return trace_step(copy.deepcopy(model), training, name)

    few = [layer for alike in kinds.values() for layer in alike[:_FEW]]
    peaks = start = trace(few)
    for alike in kinds.values():
        if len(alike) > _FEW:
            more = trace([*few, alike[_FEW]])
            peaks = _plus(peaks, start, more, times=len(alike) - _FEW)
    return peaks


def _kind(layer: nn.Module) -> Any:
    """Return what layers that take the same memory have in common."""
    weights = tuple(
        (name, tuple(value.shape), value.dtype, value.requires_grad)
        for name, value in layer.named_parameters()
    )
    return weights, getattr(layer, "attention_type", None)


def _plus(peaks: Peaks, start: Peaks, more: Peaks, *, times: int) -> Peaks:
    """Add what one layer more took, `times`; phase by phase, and part by part."""
    extended: Peaks = {}
    for phase, parts in peaks.items():
        step = Counter(more[phase])
        step.subtract(start[phase])
        extended[phase] = {
            part: max(0, parts.get(part, 0) + times * step[part]) for part in {*parts, *step}
        }
    return extended
