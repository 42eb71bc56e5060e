"""How the frozen base is held in memory, and the guard that keeps a 4-bit base trainable."""

from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from torch import nn
from transformers import BitsAndBytesConfig

from loraflow.config import QuantizationConfig

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def compute_dtype(quantization: QuantizationConfig) -> torch.dtype:
    """Return the type of matrix products: as configured, or what this machine does natively."""
    if quantization.compute_dtype != "auto":
        return _DTYPES[quantization.compute_dtype]
    if torch.cuda.is_available():
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float16
        )
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def load_options(quantization: QuantizationConfig) -> dict[str, Any]:
    """Return what `from_pretrained` needs to hold the base as configured."""
    dtype = compute_dtype(quantization)
    if quantization.method == "none":
        return {"dtype": dtype}
    return {
        "dtype": dtype,
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization.method,
            bnb_4bit_use_double_quant=quantization.double_quant,
            bnb_4bit_compute_dtype=dtype,
        ),
    }


def keep_trainable(model: nn.Module) -> None:
    """Keep every 4-bit layer in the layout that gradients flow through.

    On CPUs with AVX512-BF16, bitsandbytes 0.50.2 repacks a Linear4bit for inference at the first
    forward without gradients in eval mode. From then on the layer passes no gradient, without an
    error, so a mid-training evaluation silently ends the training. `Linear4bit.forward` repacks
    only where this flag of the layer is set.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
