"""Loads a base model once and lends it to all that answer with it, with or without an adapter."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from loraflow.model.load import CausalLM, adapter_of, load_for_answers, whole_model_of
from loraflow.model.source import BaseModel

log = logging.getLogger(__name__)


class ModelLender:
    """Keeps the base that was lent last, until another is asked for or `close` is called.

    An adapter is merged into a base in float32, where that changes answers by nothing that counts
    and saves its products at every token. Elsewhere it stays beside the base, as it was trained:
    sums in bfloat16 would round it away. What is lent is given back as it was, to the bit.
    """

    def __init__(self, *, packed: bool = False) -> None:
        """Load nothing yet; a `packed` base stays quantized, also where that is slow."""
        self._packed = packed
        self._base: BaseModel | None = None
        self._model: CausalLM = None

    @contextmanager
    def lend(self, base: BaseModel, trained: Path | None) -> Iterator[CausalLM]:
        """Yield the model ready to answer; `trained` is what the stage train left, or None."""
        if trained is not None and whole_model_of(trained) is not None:
            yield load_for_answers(base, trained)
            return
        model = self._of(base)
        adapter = None if trained is None else adapter_of(trained)
        if adapter is None:
            yield model
            return
        adapted = PeftModel.from_pretrained(model, adapter)
        kept = _merge(adapted) if _can_merge(adapted) else {}
        try:
            yield adapted.eval()
        finally:
            _give_back(model, adapted, kept)

    def close(self) -> None:
        """Let go of what was loaded, as before a training, which needs the memory."""
        self._base, self._model = None, None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _of(self, base: BaseModel) -> CausalLM:
        if self._base != base:
            self.close()
            self._model, self._base = load_for_answers(base, None, packed=self._packed), base
        return self._model


def _can_merge(adapted: Any) -> bool:
    """Merging into quantized weights would round most of the update away."""
    packed = getattr(adapted.get_base_model(), "is_quantized", False)
    is_exact = adapted.dtype == torch.float32 and not packed
    return is_exact and hasattr(adapted.base_model, "merge_adapter")


def _merge(adapted: Any) -> dict[nn.Parameter, Tensor]:
    """Merge, and return copies of the weights that changed."""
    kept = {
        parameter: parameter.detach().clone()
        for module in adapted.modules()
        if hasattr(module, "get_base_layer") and hasattr(module, "merge")
        for parameter in module.get_base_layer().parameters(recurse=False)
    }
    adapted.base_model.merge_adapter()
    return kept


def _give_back(model: Any, adapted: Any, kept: dict[nn.Parameter, Tensor]) -> None:
    """Take the adapter off the base; merged weights are put back, since subtracting would round."""
    if hasattr(adapted.base_model, "unload"):
        if kept:
            adapted.base_model.unmerge_adapter()
        adapted.base_model.unload()
        with torch.no_grad():
            for parameter, values in kept.items():
                parameter.copy_(values)
    if hasattr(model, "peft_config"):
        del model.peft_config  # PEFT would warn that the model has had an adapter
