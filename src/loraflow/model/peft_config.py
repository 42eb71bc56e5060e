"""Translates the section adapter into PEFT's own config, with every module by its full name."""

import math
from collections.abc import Callable
from typing import Any

from peft import (
    AdaLoraConfig,
    EvaConfig,
    IA3Config,
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    PromptTuningInit,
)
from torch import nn
from transformers.pytorch_utils import Conv1D

from loraflow.config import AdapterConfig
from loraflow.errors import UserError
from loraflow.model.architectures import layout_of, select, takes_prefix
from loraflow.model.experts import expert_parameters
from loraflow.model.head import head_of
from loraflow.model.targets import expert_count, find_targets

_FEWEST_STEPS = 2  # of adalora


def make_config(model: Any, adapter: AdapterConfig, *, total_steps: int | None) -> PeftConfig:
    """Return PEFT's config of `adapter` for `model`.

    Raises:
        UserError: if the model does not have what `adapter` names.
    """
    return _CONFIGS[adapter.method](model, adapter, total_steps)


def lora_alpha(adapter: AdapterConfig, r: int) -> float:
    """Return PEFT's lora_alpha at rank `r`, which PEFT divides by r, or by sqrt(r) for rsLoRA."""
    return adapter.alpha * r if adapter.alpha_mode == "ratio" else adapter.alpha


def first_rank(adapter: AdapterConfig) -> int:
    """Return the rank that AdaLoRA starts with: half as much again, as in the paper."""
    return math.ceil(1.5 * adapter.r)


def schedule(total_steps: int) -> dict[str, int]:
    """Return AdaLoRA's phases for a training of `total_steps`.

    A sixth of the steps learns at full rank, so that the importance of ranks is not noise; the last
    third learns with the ranks that are left. In between ranks go at every step of a short
    training, about a hundred times in a long one. These shares are our choice, and not tuned. The
    phase in between is never empty, as PEFT wants it: tinit < total_step - tfinal.
    """
    return {
        "total_step": total_steps,
        "tinit": total_steps // 6,
        "tfinal": total_steps // 3,
        "deltaT": max(1, total_steps // 200),
    }


def linear_names(model: Any) -> list[str]:
    """Name all linear modules but the output layer or the head."""
    output, head = model.get_output_embeddings(), head_of(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
        and module is not output
        and not any(name == part or name.startswith(f"{part}.") for part in head)
    ]


def _lora(model: Any, adapter: AdapterConfig, _: int | None) -> PeftConfig:
    targets = _targets(model, adapter)
    ranks = {key: rank for key, rank in adapter.rank_pattern.items() if rank != adapter.r}
    alphas = {key: lora_alpha(adapter, rank) for key, rank in ranks.items()}
    rslora = adapter.alpha_mode == "rslora"
    more: dict[str, Any] = {}
    if adapter.experts is not None:
        more["target_parameters"] = expert_parameters(model, adapter.layers_to_transform)
    if adapter.init_lora_weights == "eva":
        more["eva_config"] = EvaConfig(adjust_scaling_factors=not rslora)
    return LoraConfig(
        r=adapter.r,
        lora_alpha=lora_alpha(adapter, adapter.r),
        use_rslora=rslora,
        lora_dropout=adapter.dropout,
        target_modules=targets,
        rank_pattern=ranks,
        alpha_pattern=alphas if adapter.alpha_mode == "ratio" else {},
        init_lora_weights=_INITIALISATIONS.get(adapter.init_lora_weights, True),
        use_dora=adapter.use_dora,
        **more,
    )


# PEFT's names; loftq starts as plain LoRA and gets its values when the adapter is there
_INITIALISATIONS = {name: name for name in ("gaussian", "pissa", "olora", "eva")}


def _adalora(model: Any, adapter: AdapterConfig, total_steps: int | None) -> PeftConfig:
    if total_steps is None:
        raise ValueError("adalora needs total_steps: its schedule spans the whole training")
    if total_steps < _FEWEST_STEPS:
        raise UserError(
            "adapter.method=adalora measures in one step what it takes away in another, and this "
            f"training has {total_steps}; raise train.max_steps or train.num_train_epochs"
        )
    rank = first_rank(adapter)
    return AdaLoraConfig(
        init_r=rank,
        target_r=adapter.r,
        lora_alpha=lora_alpha(adapter, rank),
        lora_dropout=adapter.dropout,
        target_modules=_targets(model, adapter),
        **schedule(total_steps),
    )


def _ia3(model: Any, adapter: AdapterConfig, _: int | None) -> PeftConfig:
    targets = _targets(model, adapter)
    down = select(layout_of(model.config.model_type).down, targets)
    return IA3Config(target_modules=targets, feedforward_modules=down)


def _prefix(model: Any, adapter: AdapterConfig, _: int | None) -> PeftConfig:
    if not takes_prefix(kind := model.config.model_type):
        raise UserError(
            "adapter.method=prefix puts keys and values into the cache of a model, and PEFT cannot "
            f"do so with {kind}; set adapter=lora"
        )
    return PrefixTuningConfig(num_virtual_tokens=adapter.num_virtual_tokens)


def _prompt(model: Any, adapter: AdapterConfig, _: int | None) -> PeftConfig:
    """Start from embeddings of random words, as the paper found better than random numbers."""
    return PromptTuningConfig(
        num_virtual_tokens=adapter.num_virtual_tokens,
        prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
    )


def _p_tuning(model: Any, adapter: AdapterConfig, _: int | None) -> PeftConfig:
    width = model.get_input_embeddings().embedding_dim
    return PromptEncoderConfig(
        num_virtual_tokens=adapter.num_virtual_tokens, encoder_hidden_size=width
    )


def _targets(model: Any, adapter: AdapterConfig) -> list[str]:
    """Return the full names of the modules, so that PEFT has nothing left to interpret."""
    return find_targets(
        adapter,
        linear_names(model),
        model_type=model.config.model_type,
        experts=expert_count(model.config.to_dict()),
    )


_CONFIGS: dict[str, Callable[[Any, AdapterConfig, int | None], PeftConfig]] = {
    "lora": _lora,
    "adalora": _adalora,
    "ia3": _ia3,
    "prefix": _prefix,
    "prompt": _prompt,
    "p_tuning": _p_tuning,
}
