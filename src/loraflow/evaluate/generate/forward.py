"""The two passes through a model that writing answers takes: prompts in, then token by token.

Both have a fixed number of rows in every matrix product, with filling where there is less to do,
and attention inside each answer alone. So what a model writes does not depend, to the bit, on what
it writes beside it: a product of another shape may add up in another order.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import AttentionMaskInterface

from loraflow.evaluate.generate.slots import Slots, slot_attention
from loraflow.train.attention import packed_attention
from loraflow.train.loss import output_logits
from loraflow.train.packing import pack

NAME = "loraflow_answers"
PROMPT_TOKENS = 512  # of prompts that are read in one pass; a longer prompt is read alone
_LEAST_LIKENESS = 0.99  # cosine; bfloat16 rounds, a wrong attention is far below
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Read:
    """A prompt that has been read."""

    layers: list[tuple[Tensor, Tensor]]  # keys and values, (heads, tokens, width)
    logits: Tensor  # (vocabulary,) of the first token of the answer


class Forward:
    """Runs a causal language model, with or without an adapter, on a fixed number of slots."""

    def __init__(self, model: Any, slots: int) -> None:
        """Take a model that `answering` has prepared."""
        self._causal_lm = _inside(model)
        self._slots = slots

    @torch.inference_mode()
    def read(self, prompts: Sequence[list[int]]) -> list[Read]:
        """Read prompts end to end, at most as many as there are slots."""
        used = sum(map(len, prompts))
        filling = [[0] * (PROMPT_TOKENS - used)] if used < PROMPT_TOKENS else []
        batch = pack([(ids, ids) for ids in [*prompts, *filling]])
        del batch["labels"]
        cache = DynamicCache()
        hidden = self._hidden(**batch, past_key_values=cache)[0]
        bounds = batch["cu_seq_lens_q"].tolist()[: len(prompts) + 1]
        logits = self._logits(hidden[[end - 1 for end in bounds[1:]]])
        states = [(layer.keys[0], layer.values[0]) for layer in cache.layers]
        return [
            Read([(keys[:, start:end], values[:, start:end]) for keys, values in states], row)
            for row, (start, end) in zip(logits, pairwise(bounds), strict=True)
        ]

    @torch.inference_mode()
    def step(self, tokens: Sequence[int], slots: Slots) -> Tensor:
        """Add a token to each slot and return the logits of the next: (slots, vocabulary)."""
        hidden = self._hidden(
            input_ids=torch.tensor(tokens)[:, None],
            position_ids=torch.tensor(slots.lengths)[:, None],
            past_key_values=slots,
            slot_lengths=[length + 1 for length in slots.lengths],
        )
        slots.advance()
        return self._logits(hidden[:, 0])

    @property
    def layers(self) -> int:
        """Layers that keep keys and values."""
        return int(self._causal_lm.config.get_text_config().num_hidden_layers)

    def _hidden(self, **inputs: Any) -> Tensor:
        placed = {
            name: value.to(self._causal_lm.device) if isinstance(value, Tensor) else value
            for name, value in inputs.items()
        }
        hidden: Tensor = self._causal_lm.base_model(**placed, use_cache=True).last_hidden_state
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        """Apply the output layer to as many rows as there are slots, whatever is given."""
        rows = F.pad(hidden, (0, 0, 0, self._slots - len(hidden)))
        return output_logits(self._causal_lm, rows)[: len(hidden)]


@contextmanager
def answering(model: Any) -> Iterator[bool]:
    """Prepare `model` for `Forward` within the block; yields False if it has to be left as it is.

    Adapters that put vectors before the text, and models that keep more than keys and values (state
    spaces, convolutions), do not work in slots. Others are believed only after a comparison with
    their own attention.
    """
    causal_lm = _inside(model)
    if not _is_known(model, causal_lm):
        yield False
        return
    own = causal_lm.config._attn_implementation
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _no_mask)
    expected = _own_logits(causal_lm)
    try:
        causal_lm.set_attn_implementation(NAME)
        yield _agrees(model, expected)
    finally:
        causal_lm.set_attn_implementation(own)


def _is_known(model: Any, causal_lm: Any) -> bool:
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None and adapter.is_prompt_learning:
        return False
    layers = getattr(causal_lm.config.get_text_config(), "layer_types", None) or ["full_attention"]
    return bool(causal_lm._supports_attention_backend) and _KNOWN_LAYERS.issuperset(layers)


_TRIED = ([1, 2, 3, 4, 5], [6, 7, 8])  # two prompts, of which the last token is written
_MANY = 4


@torch.inference_mode()
def _own_logits(causal_lm: Any) -> list[Tensor]:
    """Return what the model itself says behind each of the tried rows."""
    rows = [torch.tensor([ids], device=causal_lm.device) for ids in _TRIED]
    return [causal_lm(input_ids=row, use_cache=False).logits[0, -1].float() for row in rows]


def _agrees(model: Any, expected: Sequence[Tensor]) -> bool:
    """Compare what is read and written in slots with the model's own attention."""
    forward = Forward(model, _MANY)
    slots = Slots(_MANY, forward.layers)
    try:
        for slot, read in enumerate(forward.read([ids[:-1] for ids in _TRIED])):
            slots.fill(slot, read.layers)
        found = forward.step([ids[-1] for ids in _TRIED] + [0] * (_MANY - len(_TRIED)), slots)
    except (NotImplementedError, TypeError, ValueError):
        return False
    return all(
        float(F.cosine_similarity(own, row.float(), dim=0)) > _LEAST_LIKENESS
        for own, row in zip(expected, found, strict=False)
    )


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    lengths = options.pop("slot_lengths", None)
    if lengths is None:
        return packed_attention(module, query, key, value, mask, **options)
    return slot_attention(query, key, value, lengths, **options)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def _inside(model: Any) -> Any:
    """Return the causal language model inside an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
