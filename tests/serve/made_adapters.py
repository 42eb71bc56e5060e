"""Adapters of the tiny model that answer each in their own way."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from transformers import AutoModelForCausalLM

from loraflow.model.source import BaseModel
from loraflow.serve.adapters.adapter import Adapter, digest_of, loaded_files


def make_adapter(
    base: BaseModel, folder: Path, seed: int, config: PeftConfig | None = None
) -> Path:
    """Write an adapter with weights that are not zero, as after a training."""
    torch.manual_seed(seed)
    model: Any = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base.folder),
        config or LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    )
    for name, parameter in model.named_parameters():
        if "lora_" in name or "ia3_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    return folder


def adapter_in(folder: Path) -> Adapter:
    return Adapter(str(folder), folder, digest_of(loaded_files(str(folder), folder)), None)
