"""The model of a training without its weights: from config.json to shapes, quantized, with adapter.

Nothing is read but config.json and nothing is allocated: all tensors are on the meta device.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.quantizers.auto import AutoHfQuantizer

from loraflow.config import AdapterConfig, QuantizationConfig, TrainConfig
from loraflow.estimate.products import stand_in
from loraflow.model.adapter import attach_adapter
from loraflow.model.head import head_of
from loraflow.model.quantize import load_options
from loraflow.model.source import BaseModel

Model = Any  # transformers' PreTrainedModel or peft's PeftModel, which come without types

_BLOCK, _NESTED_BLOCK = 64, 256  # weights, and constants, that share a constant (QLoRA, section 3)
_NESTED_TABLE = 256 * 4  # what 8 bits of a constant stand for
_TABLE = 16 * 4  # what 4 bits of a weight stand for
_FLOAT = 4
_STEPS = 100  # AdaLoRA wants to know how many; it changes no shape


@dataclass(frozen=True)
class Training:
    """All that the memory of a training follows from."""

    architecture: Any  # transformers' config of the model
    quantization: QuantizationConfig
    adapter: AdapterConfig
    settings: TrainConfig
    trust_remote_code: bool = False
    checkpointing: bool = False  # activations are computed twice
    unpacked: bool = False  # a quantized base is de-quantized once
    on_gpu: bool = False  # where attention keeps no weights, however short rows are


def training_of(base: BaseModel, adapter: AdapterConfig, settings: TrainConfig) -> Training:
    """Return the training of `base`, of which only config.json needs to be there."""
    architecture = AutoConfig.from_pretrained(base.folder, trust_remote_code=base.trust_remote_code)
    return Training(architecture, base.quantization, adapter, settings, base.trust_remote_code)


def build_model(training: Training) -> Model:
    """Return the model as it is trained, on the meta device.

    Raises:
        UserError: if the model does not have what the adapter names.
    """
    held = training.quantization
    if training.unpacked:
        held = replace(held, method="none", double_quant=False)
    options = load_options(held)
    model = _bare_model(training, options["dtype"])
    if "quantization_config" in options:
        _quantize(model, options["quantization_config"])
    # first values come from weights or data for some methods; they have the same shapes
    adapter = replace(training.adapter, init_lora_weights="default")
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return attach_adapter(
            model, adapter, task=training.settings.task, seed=0, total_steps=_STEPS
        )


def parameter_bytes(model: nn.Module) -> tuple[int, int]:
    """Return the bytes of what stays and of what is trained; shared tensors count once."""
    frozen = trained = 0
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, value in module.named_parameters(recurse=False):
            if value in seen:
                continue
            seen.add(value)
            if value.requires_grad:
                trained += value.nbytes
            elif name == "weight" and isinstance(module, (Linear4bit, Linear8bitLt)):
                frozen += _packed_bytes(module)
            else:
                frozen += value.nbytes
    return frozen + sum(buffer.nbytes for buffer in model.buffers()), trained


def trained_tensors(model: nn.Module) -> Iterator[tuple[nn.Module, nn.Parameter]]:
    """Yield what is trained, each with the module that it is in."""
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for value in module.parameters(recurse=False):
            if value.requires_grad and value not in seen:
                seen.add(value)
                yield module, value


def layers_of(model: nn.Module) -> tuple[str, list[nn.Module]]:
    """Return the name and the modules of the list that holds the model's layers."""
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)  # type: ignore[operator, union-attr]
    for name, part in model.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return name, list(part)
    return "", []


def _bare_model(training: Training, dtype: torch.dtype) -> Model:
    classifies = training.settings.task == "classify"
    model_class = AutoModelForSequenceClassification if classifies else AutoModelForCausalLM
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return model_class.from_config(
            training.architecture, dtype=dtype, trust_remote_code=training.trust_remote_code
        )


def _quantize(model: Model, settings: Any) -> None:
    """Replace what transformers would replace, by layers that take the same memory."""
    settings.llm_int8_skip_modules = head_of(model) or None
    quantizer = AutoHfQuantizer.from_config(settings, pre_quantized=False)
    dtype = model.dtype
    quantizer.preprocess_model(model=model, device_map=None)
    quantizer.postprocess_model(model)
    for module in model.modules():
        if isinstance(module, (Linear4bit, Linear8bitLt)):
            stand_in(module, dtype)


def _packed_bytes(layer: nn.Module) -> int:
    rows, columns = layer.weight.shape  # type: ignore[misc]
    weights = rows * columns
    if isinstance(layer, Linear8bitLt):
        return weights + rows * _FLOAT  # one constant a row
    constants = -(-weights // _BLOCK)
    packed = -(-weights // 2) + _TABLE
    if not layer.weight.compress_statistics:  # type: ignore[union-attr]
        return packed + constants * _FLOAT
    nested = -(-constants // _NESTED_BLOCK) * _FLOAT
    return packed + constants + nested + _NESTED_TABLE + _FLOAT
