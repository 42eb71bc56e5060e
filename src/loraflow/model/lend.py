"""Loads a base model once and lends it to all that train beside it or answer with it."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from loraflow.model.load import (
    CausalLM,
    load_base,
    load_for_answers,
    make_ready_for_answers,
    unpack,
)
from loraflow.model.plain_lora import writes_to_base
from loraflow.model.share import share_weights
from loraflow.model.source import BaseModel
from loraflow.model.trained import adapter_of, whole_model_of

log = logging.getLogger(__name__)


class ModelLender:
    """Keeps the base that was lent last, until another is asked for or `close` is called.

    Every borrower gets modules of its own around the same weights, so nothing is to be given back,
    whatever ends its use. Who would change the weights themselves is given the base for good. At
    each lending the weights are compared with what was loaded: if somebody wrote to them, they are
    loaded anew. One base is in memory at a time, if no borrower outlives the next lending.

    To answer, an adapter is merged in float32, where that changes answers by nothing that counts
    and saves its products at every token. Elsewhere it stays beside the base, as it was trained:
    sums in bfloat16 would round it away.
    """

    def __init__(self, *, packed: bool = False) -> None:
        """Load nothing yet; a `packed` base stays quantized to answer, also where that is slow."""
        self._packed = packed
        self._held: _Held | None = None

    @contextmanager
    def lend(self, base: BaseModel, trained: Path | None) -> Iterator[CausalLM]:
        """Yield the model ready to answer; `trained` is what the stage train left, or None."""
        if trained is not None and whole_model_of(trained) is not None:
            yield load_for_answers(base, trained)
            return
        adapter = None if trained is None else adapter_of(trained)
        hand_over = self.give_away if writes_to_base(adapter) else self.share
        unpacked = not (self._packed or torch.cuda.is_available())
        model = make_ready_for_answers(hand_over(base, unpacked=unpacked))
        yield model if adapter is None else _attach(model, adapter)

    def share(self, base: BaseModel, *, unpacked: bool) -> CausalLM:
        """Return the base as `load_base` makes it, de-quantized if it is to be `unpacked`.

        For whoever trains beside it: all of it may be changed but the values of its weights.
        """
        held = self._hold(base, unpacked=unpacked)
        held.take_digest()
        return share_weights(held.model)

    def give_away(self, base: BaseModel, *, unpacked: bool) -> CausalLM:
        """Return the base as `share` does, but for good: its weights may be written to."""
        model = self._hold(base, unpacked=unpacked).model
        self._held = None
        return model

    def close(self) -> None:
        """Let go of what was loaded, for somebody else who needs the memory."""
        self._held = None
        gc.collect()  # what borrowers left in cycles, such as a trainer, holds the weights too
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _hold(self, base: BaseModel, *, unpacked: bool) -> "_Held":
        if self._held is None or not self._held.serves(base, unpacked=unpacked):
            self.close()
            self._held = _Held(base, unpacked=unpacked)
        return self._held


class _Held:
    """A loaded base that nobody but the lender has."""

    def __init__(self, base: BaseModel, *, unpacked: bool) -> None:
        model = load_base(base)
        self._base = base
        # None: there was nothing to unpack, so both forms are the same
        self._unpacked = unpacked if getattr(model, "is_quantized", False) else None
        self._digest: list[int] | None = None  # of the weights, once they were lent
        self.model = unpack(model) if unpacked else model

    def serves(self, base: BaseModel, *, unpacked: bool) -> bool:
        """Tell whether it is that base, in that form, and nobody wrote to it."""
        if base != self._base or self._unpacked not in (unpacked, None):
            return False
        is_whole = self._digest is None or self._digest == _digest(self.model)
        if not is_whole:
            log.warning("somebody wrote to the weights of the loaded base: it is loaded anew")
        return is_whole

    def take_digest(self) -> None:
        if self._digest is None:
            self._digest = _digest(self.model)


def _digest(model: CausalLM) -> list[int]:
    return [_sum_of_bits(parameter.detach().flatten()) for parameter in model.parameters()]


def _sum_of_bits(weight: Tensor) -> int:
    """Add up a flat weight as if it were integers of 64 bits: at the speed of memory."""
    if weight.storage_offset() % 8:
        weight = weight.clone()  # torch reads such integers at multiples of their size only
    whole = len(weight) // 8 * 8  # elements that fill integers, of whatever size they are
    return int(weight[:whole].view(torch.int64).sum() + weight[whole:].view(torch.uint8).sum())


def _attach(model: CausalLM, adapter: Path) -> CausalLM:
    adapted = PeftModel.from_pretrained(model, adapter)
    if _can_merge(adapted):
        _merge(adapted)
    return adapted.eval()


def _can_merge(adapted: Any) -> bool:
    """Merging into quantized weights would round most of the update away."""
    packed = getattr(adapted.get_base_model(), "is_quantized", False)
    is_exact = adapted.dtype == torch.float32 and not packed
    return is_exact and hasattr(adapted.base_model, "merge_adapter")


def _merge(adapted: Any) -> None:
    """Merge into copies of the weights that change."""
    for module in adapted.modules():
        if hasattr(module, "get_base_layer") and hasattr(module, "merge"):
            for parameter in module.get_base_layer().parameters(recurse=False):
                parameter.data = parameter.data.clone()
    adapted.base_model.merge_adapter()
