"""Stage: an adapter folded into the weights of its base, as a model of its own."""

from pathlib import Path
from typing import Any

from peft import PeftModel

from loraflow.errors import UserError
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from loraflow.model.trained import adapter_of


def merge(base: BaseModel, trained: Path, *, out: Path) -> dict[str, Any]:
    """Write base and adapter as one model (safetensors) with its tokenizer to `out`.

    Merged into `base` as it is held: an unquantized one gives weights that can be quantized anew.

    Raises:
        UserError: if there is no adapter, or it is none that can be folded into weights.
    """
    adapter = adapter_of(trained)
    if adapter is None:
        raise UserError(f"{trained} holds no adapter, so there is nothing to merge")
    adapted = PeftModel.from_pretrained(load_base(base), adapter)
    if not hasattr(adapted.base_model, "merge_and_unload"):
        kind = adapted.active_peft_config.peft_type
        raise UserError(f"an adapter of type {kind} puts vectors before the text; it cannot merge")
    merged = adapted.merge_and_unload(safe_merge=True)
    merged.save_pretrained(out, safe_serialization=True)
    load_tokenizer(base).save_pretrained(out)
    return {"counts": {"parameters": merged.num_parameters()}, "metrics": {}}
