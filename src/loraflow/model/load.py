"""Loads the frozen base for training, or base and what was trained for answering."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
)

from loraflow.model.head import head_of
from loraflow.model.quantize import compute_dtype, keep_trainable, load_options
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from loraflow.model.trained import adapter_of, whole_model_of

CausalLM = Any  # transformers' PreTrainedModel or peft's PeftModel, which come without types
Classifier = Any


def load_base(base: BaseModel) -> CausalLM:
    """Return the base model on this machine's device, quantized as configured."""
    model = AutoModelForCausalLM.from_pretrained(
        base.folder,
        **placed(base),
        **load_options(base.quantization),
    )
    keep_trainable(model)
    return model


def load_classifier(base: BaseModel, labels: Sequence[str], *, seed: int) -> Classifier:
    """Return the base under a new classification head, whose values follow from `seed` alone.

    The head is never quantized, since it is trained. Label number n of the model is `labels[n]`.
    """
    names = dict(enumerate(labels))
    config = AutoConfig.from_pretrained(
        base.folder,
        trust_remote_code=base.trust_remote_code,
        id2label=names,
        label2id={label: number for number, label in names.items()},
    )
    config.pad_token_id = load_tokenizer(base).pad_token_id  # decoders look for the last real token
    options = load_options(base.quantization)
    if "quantization_config" in options:
        options["quantization_config"].llm_int8_skip_modules = _head_modules(config, base)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(
            base.folder, config=config, **placed(base), **options
        )
    keep_trainable(model)
    return model


def load_for_answers(base: BaseModel, trained: Path | None, *, packed: bool = False) -> CausalLM:
    """Return the base, or what the stage train made of it in `trained`, ready to generate.

    On a CPU a quantized base is de-quantized once, unless it is to stay `packed`: the same weights
    that the adapter was trained on, without unpacking them again for every token.
    """
    whole = None if trained is None else whole_model_of(trained)
    if whole is not None:
        model = _unpacked_on_cpu(_load_whole(AutoModelForCausalLM, base, whole))
    else:
        model = load_base(base) if packed else _unpacked_on_cpu(load_base(base))
        model = _with_adapter(model, trained)
    return make_ready_for_answers(model)


def make_ready_for_answers(model: CausalLM) -> CausalLM:
    """Have the loaded `model` generate as it is told, not as its files say."""
    model.generation_config = GenerationConfig()  # greedy: no penalties of the model's own
    return model.eval()


def load_trained_classifier(
    base: BaseModel, trained: Path | None, labels: Sequence[str]
) -> Classifier:
    """Return what the stage train made in `trained`, ready to classify; without, a random head."""
    whole = None if trained is None else whole_model_of(trained)
    if whole is not None:
        return _unpacked_on_cpu(_load_whole(AutoModelForSequenceClassification, base, whole)).eval()
    model = _unpacked_on_cpu(load_classifier(base, labels, seed=0))
    return _with_adapter(model, trained).eval()


def unpack(model: Any) -> Any:
    """Return `model` with quantized weights de-quantized, in its own type; others as they are.

    Buffers stay in float32: in bfloat16 the frequencies of rotary positions are off by 0.3 %.
    """
    if not getattr(model, "is_quantized", False):
        return model
    dtype = model.dtype
    model = model.dequantize()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def placed(base: BaseModel) -> dict[str, Any]:
    """Return what `from_pretrained` needs to put a model on this machine's device."""
    return {
        "trust_remote_code": base.trust_remote_code,
        "device_map": {"": torch.cuda.current_device() if torch.cuda.is_available() else "cpu"},
    }


def _head_modules(config: Any, base: BaseModel) -> list[str]:
    """Name what the model has beside its body, without making its weights."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(
            config, trust_remote_code=base.trust_remote_code
        )
    return head_of(model)


def _load_whole(model_class: Any, base: BaseModel, folder: Path) -> Any:
    """Load a model whose own weights were trained, in the type that the base is computed in."""
    return model_class.from_pretrained(
        folder, dtype=compute_dtype(base.quantization), **placed(base)
    )


def _unpacked_on_cpu(model: Any) -> Any:
    return unpack(model) if model.device.type == "cpu" else model


def _with_adapter(model: Any, trained: Path | None) -> Any:
    adapter = None if trained is None else adapter_of(trained)
    return model if adapter is None else PeftModel.from_pretrained(model, adapter)
