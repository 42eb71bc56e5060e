"""Loads the frozen base for training, or base and adapter for answering."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig

from loraflow.model.quantize import keep_trainable, load_options
from loraflow.model.source import BaseModel

CausalLM = Any  # transformers' PreTrainedModel or peft's PeftModel, which come without types


def load_base(base: BaseModel) -> CausalLM:
    """Return the base model on this machine's device, quantized as configured."""
    model = AutoModelForCausalLM.from_pretrained(
        base.folder,
        trust_remote_code=base.trust_remote_code,
        device_map={"": 0} if torch.cuda.is_available() else {"": "cpu"},
        **load_options(base.quantization),
    )
    keep_trainable(model)
    return model


def load_for_answers(base: BaseModel, adapter: Path | None) -> CausalLM:
    """Return the base, with its adapter if there is one, ready to generate.

    On a CPU a 4-bit base is de-quantized once: the same weights that the adapter was trained
    on, without unpacking them again for every token.
    """
    model = load_base(base)
    if base.quantization.method != "none" and model.device.type == "cpu":
        dtype = model.dtype
        model = model.dequantize().to(dtype)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    model.generation_config = GenerationConfig()  # greedy: no penalties of the model's own
    return model.eval()
