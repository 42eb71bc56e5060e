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

CausalLM = Any  # transformers' PreTrainedModel or peft's PeftModel, which come without types
Classifier = Any


def load_base(base: BaseModel) -> CausalLM:
    """Return the base model on this machine's device, quantized as configured."""
    model = AutoModelForCausalLM.from_pretrained(
        base.folder,
        **_placed(base),
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
            base.folder, config=config, **_placed(base), **options
        )
    keep_trainable(model)
    return model


def load_for_answers(base: BaseModel, trained: Path | None) -> CausalLM:
    """Return the base, or what the stage train made of it in `trained`, ready to generate.

    On a CPU a 4-bit base is de-quantized once: the same weights that the adapter was trained
    on, without unpacking them again for every token.
    """
    if trained is not None and (trained / "model").is_dir():
        model = _unpacked(_load_whole(AutoModelForCausalLM, base, trained))
    else:
        model = _with_adapter(_unpacked(load_base(base)), trained)
    model.generation_config = GenerationConfig()  # greedy: no penalties of the model's own
    return model.eval()


def load_trained_classifier(
    base: BaseModel, trained: Path | None, labels: Sequence[str]
) -> Classifier:
    """Return what the stage train made in `trained`, ready to classify; without, a random head."""
    if trained is not None and (trained / "model").is_dir():
        return _unpacked(_load_whole(AutoModelForSequenceClassification, base, trained)).eval()
    model = _unpacked(load_classifier(base, labels, seed=0))
    return _with_adapter(model, trained).eval()


def _placed(base: BaseModel) -> dict[str, Any]:
    return {
        "trust_remote_code": base.trust_remote_code,
        "device_map": {"": 0} if torch.cuda.is_available() else {"": "cpu"},
    }


def _head_modules(config: Any, base: BaseModel) -> list[str]:
    """Name what the model has beside its body, without making its weights."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(
            config, trust_remote_code=base.trust_remote_code
        )
    return head_of(model)


def _load_whole(model_class: Any, base: BaseModel, trained: Path) -> Any:
    """Load a model whose own weights were trained, in the type that the base is computed in."""
    return model_class.from_pretrained(
        trained / "model", dtype=compute_dtype(base.quantization), **_placed(base)
    )


def _unpacked(model: Any) -> Any:
    if model.device.type != "cpu" or not getattr(model, "is_quantized", False):
        return model
    dtype = model.dtype
    return model.dequantize().to(dtype)


def _with_adapter(model: Any, trained: Path | None) -> Any:
    if trained is None or not (trained / "adapter").is_dir():
        return model
    return PeftModel.from_pretrained(model, trained / "adapter")
