"""Several models, one after the other, around the same weights in memory."""

import copy
from typing import Any

import torch
from torch import nn

from loraflow.model.load import CausalLM


def share_weights(model: CausalLM) -> CausalLM:
    """Return a copy of `model` whose parameters lie in the memory of the original's.

    Modules, buffers, config and hooks are the copy's own, and so is what belongs to a parameter
    beside its values: type, gradient, and whether it is trained. Whatever is attached to the copy
    or switched on in it therefore ends with it, also when an error ends its use. Only a value that
    is written in place reaches the original; what is assigned to `parameter.data` does not.
    """
    twins = {parameter: _twin(parameter) for parameter in model.parameters()}
    memo: dict[int, Any] = {id(parameter): twin for parameter, twin in twins.items()}
    for parameter in twins:
        memo |= {id(value): value for value in _statistics(parameter)}
    copied = copy.deepcopy(model, memo)
    for parameter, twin in twins.items():
        vars(twin).update(copy.deepcopy(vars(parameter), memo))
    return copied


def _twin(parameter: nn.Parameter) -> nn.Parameter:
    """Return a parameter of the same kind, bitsandbytes' kinds included, without attributes."""
    return torch.Tensor._make_subclass(type(parameter), parameter.data, parameter.requires_grad)


def _statistics(parameter: nn.Parameter) -> list[Any]:
    """Return what a quantized parameter is read with; a module that it names is the copy's own."""
    return [value for value in vars(parameter).values() if not isinstance(value, nn.Module)]
