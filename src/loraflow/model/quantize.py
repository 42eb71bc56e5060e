"""How the frozen base is held in memory, and the guard that keeps a 4-bit base trainable."""

import logging
import math
import time
from functools import cache
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from torch import nn
from transformers import BitsAndBytesConfig

from loraflow.config import QuantizationConfig

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_NOTICES = "bitsandbytes.autograd._functions"  # logger of the 8-bit products
_SIZE, _TRIALS = 768, 5  # of the matrices that are multiplied: some hundredths of a second
_CLEARLY = 1.25


def compute_dtype(quantization: QuantizationConfig) -> torch.dtype:
    """Return the type of matrix products: as configured, or what this machine does fastest.

    On a CPU that is measured, since its flags do not tell: of two machines with AVX512-BF16, one
    multiplied bfloat16 2.4 times as fast as float32, the other half as fast.
    """
    if quantization.compute_dtype != "auto":
        return _DTYPES[quantization.compute_dtype]
    if torch.cuda.is_available():
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float16
        )
    return _fastest_on_cpu()


@cache
def _fastest_on_cpu() -> torch.dtype:
    """Prefer bfloat16, of half the size, unless float32 is clearly faster."""
    seconds = {torch.bfloat16: math.inf, torch.float32: math.inf}
    for _ in range(_TRIALS):  # in turns, so that other work on the machine slows both
        seconds = {
            dtype: min(least, _seconds_to_multiply(dtype)) for dtype, least in seconds.items()
        }
    clearly_faster = seconds[torch.float32] * _CLEARLY < seconds[torch.bfloat16]
    return torch.float32 if clearly_faster else torch.bfloat16


def _seconds_to_multiply(dtype: torch.dtype) -> float:
    matrix = torch.ones(_SIZE, _SIZE, dtype=dtype)
    started = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - started


def load_options(quantization: QuantizationConfig) -> dict[str, Any]:
    """Return what `from_pretrained` needs to hold the base as configured."""
    dtype = compute_dtype(quantization)
    if quantization.method == "none":
        return {"dtype": dtype}
    if quantization.method == "int8":
        logging.getLogger(_NOTICES).addFilter(_is_no_cast)
        return {"dtype": dtype, "quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    return {
        "dtype": dtype,
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization.method,
            bnb_4bit_use_double_quant=quantization.double_quant,
            bnb_4bit_compute_dtype=dtype,
        ),
    }


def _is_no_cast(record: logging.LogRecord) -> bool:
    """Drop what bitsandbytes says at each of millions of products: that it casts their inputs."""
    return "inputs will be cast" not in str(record.msg)


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
