"""Attaches the LoRA adapter to a loaded base and counts what will be trained."""

import torch
from peft import LoraConfig, get_peft_model

from loraflow.config import AdapterConfig
from loraflow.model.load import CausalLM


def attach_adapter(model: CausalLM, adapter: AdapterConfig, *, seed: int) -> CausalLM:
    """Return `model` with a fresh adapter, in float32, its base frozen.

    The first values follow from `seed` alone: A is drawn, B is zero, so the adapter changes
    nothing before the first step (section 4.1, arXiv:2106.09685).
    """
    torch.manual_seed(seed)
    config = LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=adapter.target_modules,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config, autocast_adapter_dtype=True)


def count_parameters(model: CausalLM) -> dict[str, int]:
    """Return how many parameters are the adapter's, are trained, and exist in all.

    A 4-bit weight packs two values into a byte; `num_parameters` counts the values.
    """
    lora = sum(value.numel() for name, value in model.named_parameters() if "lora_" in name)
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    return {
        "lora_parameters": lora,
        "trainable_parameters": trained,
        "total_parameters": model.num_parameters(),
    }
