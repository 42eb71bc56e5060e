"""The optimizers of `train.optim`, and their state as tensors and plain numbers, without pickle."""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from bitsandbytes.optim import AdamW as BitsAdamW
from bitsandbytes.optim import GlobalOptimManager, Lion
from bitsandbytes.optim.optimizer import Optimizer8bit
from peft.optimizers import create_loraplus_optimizer
from torch import Tensor, nn
from transformers.optimization import Adafactor
from transformers.trainer_pt_utils import get_parameter_names

from loraflow.config import TrainConfig
from loraflow.errors import UserError

log = logging.getLogger(__name__)

_ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}  # here and below: the defaults of TrainingArguments
_LION = {"betas": (0.9, 0.999)}
_OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adamw_torch": (torch.optim.AdamW, _ADAM),
    "adamw_8bit": (BitsAdamW, {**_ADAM, "optim_bits": 8}),
    "paged_adamw_8bit": (BitsAdamW, {**_ADAM, "optim_bits": 8, "is_paged": True}),
    "paged_adamw_32bit": (BitsAdamW, {**_ADAM, "optim_bits": 32, "is_paged": True}),
    "lion_8bit": (Lion, {**_LION, "optim_bits": 8}),
    "paged_lion_32bit": (Lion, {**_LION, "optim_bits": 32, "is_paged": True}),
    "adafactor": (Adafactor, {"scale_parameter": False, "relative_step": False}),
    "sgd": (torch.optim.SGD, {}),
}
_NOT_DECAYED = ("bias", "norm")  # as transformers has it: what shifts or scales is not shrunk
_TABLES = ("qmap1", "qmap2")  # what 8 bits stand for: constants that all parameters share


def create_optimizer(model: nn.Module, settings: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer that `train.optim` names, for what is trained of `model`.

    Its first group has `train.learning_rate`. With `train.loraplus_lr_ratio`, LoRA's B learns that
    many times as fast (LoRA+, arXiv:2402.12354).

    Raises:
        UserError: if LoRA+ is asked for and nothing that is trained is a LoRA matrix B.
    """
    kind, options = _OPTIMIZERS[settings.optim]
    options = {**options, "lr": settings.learning_rate}
    if options.get("is_paged") and not torch.cuda.is_available():
        log.info(
            "train.optim=%s pages on a GPU only; here it does the same without", settings.optim
        )
        options["is_paged"] = False
    _forget_overrides(model)
    if settings.loraplus_lr_ratio is None:
        return kind(_groups(model, settings.weight_decay), **options)
    _require_matrix_b(model, settings)
    optimizer: torch.optim.Optimizer = create_loraplus_optimizer(
        model,
        kind,
        loraplus_lr_ratio=settings.loraplus_lr_ratio,
        loraplus_weight_decay=settings.weight_decay,
        **options,
    )
    return optimizer


def flatten_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return all that `optimizer` remembers: tensors by name, and what JSON can hold.

    The tensors are named by the number of their parameter, as "3/exp_avg". On a CPU they are the
    optimizer's own, not copies: write them before the next step.
    """
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for number, (_, _, parameter) in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if name in _TABLES:
                continue
            if isinstance(value, Tensor):
                tensors[f"{number}/{name}"] = value.detach().cpu().contiguous()
            else:
                scalars.setdefault(str(number), {})[name] = value
    groups = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    return tensors, {"scalars": scalars, "groups": groups, "sizes": sizes}


def restore_state(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]
) -> None:
    """Make `optimizer`, built anew for the same model, remember what `flatten_state` returned.

    Nothing is cast: `load_state_dict` would round float32 states of bfloat16 parameters.

    Raises:
        ValueError: if the state is that of other parameters.
    """
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    if sizes != rest["sizes"]:
        raise ValueError(f"the state is for groups of {rest['sizes']} parameters, not of {sizes}")
    for group, saved in zip(optimizer.param_groups, rest["groups"], strict=True):
        group.update({name: _typed(value, like=group.get(name)) for name, value in saved.items()})
    for index, place in enumerate(_parameters(optimizer)):
        found = {
            name.partition("/")[2]: tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{index}/")
        }
        scalars = rest["scalars"].get(str(index), {})
        if found or scalars:
            _restore_parameter(optimizer, place, found, scalars)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split what is trained into what weight decay shrinks and what it does not."""
    decayed = set(get_parameter_names(model, [nn.LayerNorm], _NOT_DECAYED))
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    return [
        {"params": [v for name, v in trained if name in decayed], "weight_decay": weight_decay},
        {"params": [v for name, v in trained if name not in decayed], "weight_decay": 0.0},
    ]


def _require_matrix_b(model: nn.Module, settings: TrainConfig) -> None:
    trained = (name for name, value in model.named_parameters() if value.requires_grad)
    if not any("lora_B" in name for name in trained):
        raise UserError(
            f"train.loraplus_lr_ratio={settings.loraplus_lr_ratio:g} is for LoRA's matrices B, and "
            "this adapter.method has none; set train.loraplus_lr_ratio=null or adapter.method=lora"
        )


def _forget_overrides(model: nn.Module) -> None:
    """Have embeddings that are trained keep 32-bit states, and nothing else.

    As transformers does it; but bitsandbytes keeps such wishes in one object for the whole
    process, by a parameter's place in its optimizer, so those of an earlier training must go.
    """
    manager = GlobalOptimManager.get_instance()
    manager.initialize()
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.weight.requires_grad:
            manager.register_module_override(module, "weight", {"optim_bits": 32})


def _parameters(
    optimizer: torch.optim.Optimizer,
) -> Iterator[tuple[int, int, nn.Parameter]]:
    """Yield each parameter with the number of its group and its place therein."""
    for group_number, group in enumerate(optimizer.param_groups):
        for place, parameter in enumerate(group["params"]):
            yield group_number, place, parameter


def _typed(value: Any, *, like: Any) -> Any:
    return tuple(value) if isinstance(like, tuple) else value  # JSON has lists only


def _restore_parameter(
    optimizer: torch.optim.Optimizer,
    place: tuple[int, int, nn.Parameter],
    tensors: dict[str, Tensor],
    scalars: dict[str, Any],
) -> None:
    group, number, parameter = place
    state = optimizer.state[parameter]
    if isinstance(optimizer, Optimizer8bit):  # it makes its buffers itself: paged, with tables
        optimizer.check_overrides()
        optimizer.init_state(optimizer.param_groups[group], parameter, group, number)
        for name, tensor in tensors.items():
            state[name].copy_(tensor)
    else:
        for name, tensor in tensors.items():  # torch counts steps on the CPU
            state[name] = (
                tensor.clone() if name == "step" else tensor.to(parameter.device, copy=True)
            )
    state.update(scalars)
