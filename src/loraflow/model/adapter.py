"""Attaches what is trained to a loaded base, and counts it."""

import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model

from loraflow.config import AdapterConfig
from loraflow.model.architectures import layout_of
from loraflow.model.continued import continued_config, load_weights
from loraflow.model.experts import train_only_experts
from loraflow.model.head import head_of, train_head
from loraflow.model.initialise import initialise_loftq, initialise_prefix
from loraflow.model.load import CausalLM
from loraflow.model.peft_config import first_rank, lora_alpha, make_config

log = logging.getLogger(__name__)

_TASKS = {"classify": "SEQ_CLS"}  # PEFT's names; all other tasks learn the next token


def attach_adapter(
    model: CausalLM,
    adapter: AdapterConfig,
    *,
    task: str,
    seed: int,
    start: Path | None = None,
    total_steps: int | None = None,
) -> CausalLM:
    """Return `model` with what `adapter` trains, in float32; everything else is frozen.

    The first values follow from `seed` alone, or are those in the folder `start`, which an earlier
    training left. A fresh LoRA changes nothing before the first step: A is drawn, B is zero
    (section 4.1, arXiv:2106.09685). A head for classification is trained with every method.

    Args:
        model: as loaded; it is changed
        adapter: what to train
        task: one of train.task
        seed: of the first values
        start: folder with an adapter to go on with
        total_steps: of the whole training; only adalora reads it

    Raises:
        UserError: if the model does not have what `adapter` names.
    """
    torch.manual_seed(seed)
    _say_what_is_not_read(model, adapter)
    if adapter.method in _WITHOUT_PEFT:
        _WITHOUT_PEFT[adapter.method](model)
        return model
    task_type = _TASKS.get(task, "CAUSAL_LM")
    if start is None:
        config = make_config(model, adapter, total_steps=total_steps)
        config.task_type, config.modules_to_save = task_type, _saved_head(model, task)
    else:
        config = continued_config(start, task_type, _saved_head(model, task))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lora with eva initialization")  # of memory on a GPU
        model = get_peft_model(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # small steps would be lost in 16 bits
    if start is not None:
        load_weights(model, start)
    elif not _is_estimate(model):
        _give_first_values(model, adapter)
    if isinstance(adapter.experts, list):
        train_only_experts(model, adapter.experts)
    return model


def count_parameters(model: CausalLM) -> dict[str, int]:
    """Return how many parameters are LoRA's, are trained, and exist in all.

    A 4-bit weight packs two values into a byte; `num_parameters` counts the values.
    """
    lora = sum(value.numel() for name, value in model.named_parameters() if "lora_" in name)
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    return {
        "lora_parameters": lora,
        "trainable_parameters": trained,
        "total_parameters": model.num_parameters(),
    }


def effective_scale(adapter: AdapterConfig) -> float:
    """Return the factor that the update is multiplied with; 1 where the method has none."""
    if adapter.method == "lora" and adapter.alpha_mode == "rslora":
        return adapter.alpha / math.sqrt(adapter.r)
    if adapter.method in ("lora", "adalora"):
        rank = adapter.r if adapter.method == "lora" else first_rank(adapter)
        return lora_alpha(adapter, rank) / rank
    return 1.0


def _say_what_is_not_read(model: Any, adapter: AdapterConfig) -> None:
    """Say what no default can: these keys always have a value."""
    if _is_estimate(model):
        return
    if adapter.method not in ("lora", "adalora"):
        log.info("method %s reads neither r nor alpha nor target_modules", adapter.method)
    kind = model.config.model_type
    if adapter.target_modules == "attention_qv" and layout_of(kind).fuses_attention:
        log.info("queries, keys and values of %s are one matrix: attention_qv is all three", kind)


def _is_estimate(model: Any) -> bool:
    """Tell whether only shapes are wanted."""
    return bool(model.device.type == "meta")


def _give_first_values(model: Any, adapter: AdapterConfig) -> None:
    """Give what PEFT does not; EVA's come later, from rows."""
    if adapter.init_lora_weights == "loftq":
        initialise_loftq(model, Path(model.config.name_or_path))
    if adapter.method == "prefix":
        initialise_prefix(model)


def _saved_head(model: Any, task: str) -> list[str] | None:
    return head_of(model) if task == "classify" else None


def _train_all(model: Any) -> None:
    model.float().requires_grad_(True)


def _train_head_only(model: Any) -> None:
    model.requires_grad_(False)
    train_head(model)


def _train_nothing(model: Any) -> None:
    model.requires_grad_(False)


_WITHOUT_PEFT: dict[str, Callable[[Any], None]] = {
    "full": _train_all,
    "head_only": _train_head_only,
    "none": _train_nothing,
}
