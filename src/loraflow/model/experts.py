"""LoRA on the experts of a mixture of experts: on all of them, or on some; the router is frozen."""

import re
from collections.abc import Sequence

import torch
from peft.tuners.lora.layer import ParamWrapper
from torch import Tensor, nn

from loraflow.model.architectures import layer_of

_STACKED = re.compile(r"(?:^|\.)experts\.\w+$")
_DIMENSIONS = 3  # expert, out, in


def expert_parameters(model: nn.Module, layers: Sequence[int] | None) -> list[str]:
    """Return the names of the weights that hold all experts of a layer, stacked.

    transformers 5 stacks them for every architecture, whatever the files look like. They are no
    modules, so a list of target modules cannot name them.
    """
    return [
        name
        for name, value in model.named_parameters()
        if _STACKED.search(name)
        and value.dim() == _DIMENSIONS
        and (layers is None or layer_of(name) in layers)
    ]


def train_only_experts(model: nn.Module, experts: Sequence[int]) -> None:
    """Let no gradient reach the slices of LoRA that belong to other experts.

    PEFT keeps one pair of matrices for all experts of a weight. B starts at zero, so a slice of B
    without gradients stays zero under every optimizer, with its moments and its weight decay; and
    with it the expert's update, whatever becomes of A.
    """
    for module in model.modules():
        if not isinstance(module, ParamWrapper):
            continue
        chosen = torch.zeros(module.num_experts, dtype=torch.bool)
        chosen[list(experts)] = True
        for name, matrix in module.lora_A.items():
            rank = module.r[name]
            _mask(matrix.weight, chosen.repeat_interleave(rank)[:, None])  # (experts x r, in)
            _mask(module.lora_B[name].weight, chosen.repeat(rank)[None])  # (out, r x experts)


def _mask(parameter: Tensor, kept: Tensor) -> None:
    def drop(gradient: Tensor) -> Tensor:
        return gradient * kept.to(gradient.device, gradient.dtype)

    parameter.register_hook(drop)  # type: ignore[no-untyped-call]
