"""Stage: an adapter folded into the weights of its base, as a model of its own."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.load import CausalLM, load_base, placed, unpack
from loraflow.model.quantize import compute_dtype
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from loraflow.model.trained import adapter_of, whole_model_of

# PEFT's types that put vectors before the text, or before each layer's keys and values
_BEFORE_THE_TEXT = ("PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING")


def merge(base: BaseModel, trained: Path, *, out: Path) -> dict[str, Any]:
    """Write base and adapter as one model (safetensors) with its tokenizer to `out`.

    Merged into `base` as it is held: an unquantized one gives weights that can be quantized anew.

    Raises:
        UserError: if there is no adapter, or it is none that can be folded into weights.
    """
    if adapter_of(trained) is None:
        raise UserError(f"{trained} holds no adapter, so there is nothing to merge")
    require_mergeable(trained)
    merged = load_merged(base, trained).to(compute_dtype(base.quantization))
    merged.save_pretrained(out, safe_serialization=True)
    load_tokenizer(base).save_pretrained(out)
    return {"counts": {"parameters": merged.num_parameters()}, "metrics": {}}


def require_mergeable(trained: Path) -> None:
    """Refuse an adapter that has no weights to be added; nothing is loaded.

    Raises:
        UserError: names what it is.
    """
    adapter = adapter_of(trained)
    kind = None if adapter is None else read_json(adapter / "adapter_config.json")["peft_type"]
    if kind in _BEFORE_THE_TEXT:
        raise UserError(
            f"an adapter of type {kind} puts vectors before the text, which no weights can hold: "
            "it cannot be merged; use it beside its base (export=adapter)"
        )


def load_adapted(base: BaseModel, trained: Path) -> CausalLM:
    """Return what was trained beside the base as it is held, all of it in float32.

    A quantized base has the values it was trained with, de-quantized. Where first values were taken
    out of the base (PiSSA), they are taken out of it in the type that it is computed in, as before
    the first step.

    Raises:
        UserError: if the adapter does not fit the base.
    """
    whole, adapter = whole_model_of(trained), adapter_of(trained)
    if whole is not None or adapter is None:
        model = AutoModelForCausalLM.from_pretrained(
            whole or trained, dtype=torch.float32, **placed(base)
        )
        return model.eval()
    model = unpack(load_base(base))
    try:
        adapted = PeftModel.from_pretrained(model, adapter)
    except (RuntimeError, ValueError) as error:  # sizes differ, or modules are not there
        raise UserError(
            f"the adapter does not fit model.location={base.name}: "
            f"{' '.join(str(error).split())[:300]}; set model= to the base it was trained on"
        ) from error
    return adapted.float().eval()


def load_merged(base: BaseModel, trained: Path) -> CausalLM:
    """Return what `load_adapted` does with the adapter added to the weights, in float32.

    Raises:
        UserError: if the adapter does not fit the base, or cannot be added.
    """
    adapted = load_adapted(base, trained)
    if not isinstance(adapted, PeftModel):
        return adapted
    if not hasattr(adapted.base_model, "merge_and_unload"):
        kind = adapted.active_peft_config.peft_type
        raise UserError(f"PEFT cannot merge an adapter of type {kind}; use it beside its base")
    return adapted.base_model.merge_and_unload(safe_merge=True)
