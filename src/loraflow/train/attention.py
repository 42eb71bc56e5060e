"""Attention inside each of several sequences that lie end to end, without padding."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface
from transformers.utils import is_flash_attn_2_available

from loraflow.train.attend import attend
from loraflow.train.packing import pack

log = logging.getLogger(__name__)

NAME = "loraflow_packed"
_COMPARED_TOKENS = 64
_LEAST_LIKENESS = 0.99  # cosine; bfloat16 rounds, a row that sees another is far below


def use_packed_attention(model: Any, rows: Sequence[list[int]], *, dtype: torch.dtype) -> bool:
    """Make `model` attend inside each sequence of a packed batch, if it then truly does.

    On a CPU, and on a GPU without flash-attention, by one call of `attend` for each sequence; where
    flash-attention is installed the model uses its variable-length kernel, which reads the same
    bounds. Models that mix tokens in other ways (state spaces, convolutions) are found by comparing
    `rows`, packed, with the same rows one by one; they are left as they were.

    Args:
        model: a causal language model, with or without an adapter
        rows: token ids of two rows or more to compare with
        dtype: of the products while it trains, which not every kernel can multiply
    """
    causal_lm = model.get_base_model() if hasattr(model, "get_base_model") else model
    rows = [row[:_COMPARED_TOKENS] for row in rows]
    own = causal_lm.config._attn_implementation
    training = causal_lm.training
    causal_lm.eval()
    device = causal_lm.device.type
    autocast = torch.autocast(device, dtype, enabled=dtype != torch.float32)
    with torch.no_grad(), autocast:
        alone = [_hidden(causal_lm, pack([(row, row)])) for row in rows]
        fault = _switch(causal_lm, rows, alone)
    causal_lm.train(training)
    if fault:
        causal_lm.set_attn_implementation(own)
        log.info("rows are padded, not packed: %s", fault)
    return fault is None


def _switch(causal_lm: Any, rows: Sequence[list[int]], alone: list[Tensor]) -> str | None:
    """Switch to packed attention and return what is wrong with it."""
    flash = causal_lm.device.type == "cuda" and is_flash_attn_2_available()
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
    try:
        causal_lm.set_attn_implementation("flash_attention_2" if flash else NAME)
        together = _hidden(causal_lm, pack([(row, row) for row in rows]))
    # RuntimeError: ours for what it does not compute, and flash-attention's kernels at another type
    except (RuntimeError, TypeError, ValueError) as error:
        return f"{type(causal_lm).__name__}: {error}"
    parts = torch.split(together, [len(row) for row in rows])
    alike = min(
        float(F.cosine_similarity(part.flatten().float(), own.flatten().float(), dim=0))
        for part, own in zip(parts, alone, strict=True)
    )
    if alike < _LEAST_LIKENESS:
        return f"{type(causal_lm).__name__} lets rows see each other (likeness {alike:.3f})"
    return None


def _hidden(causal_lm: Any, batch: dict[str, Any]) -> Tensor:
    """Return the last hidden states: (tokens, width)."""
    inputs = {
        name: value.to(causal_lm.device) if isinstance(value, Tensor) else value
        for name, value in batch.items()
        if name != "labels"
    }
    hidden: Tensor = causal_lm.base_model(**inputs, use_cache=False).last_hidden_state
    return hidden[0]


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    attend: Callable[..., Tensor] = attend,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend causally inside each sequence.

    Args:
        module: the attention layer, which is not needed
        query: (1, heads, tokens, width of a head); key and value may have fewer heads
        key: as query
        value: as query
        attention_mask: none: what may be seen follows from the bounds
        attend: computes one sequence
        options: cu_seq_lens_q (sequences + 1,) says where sequences begin and end; scaling of the
            scores, dropout of the weights, and sliding_window, how many tokens back are seen

    Returns:
        (1, tokens, heads, width of a head), and no weights

    Raises:
        NotImplementedError: for a model that asks for what is not computed here.
    """
    bounds, window = options.get("cu_seq_lens_q"), options.get("sliding_window")
    if options.get("softcap") is not None or attention_mask is not None or bounds is None:
        raise NotImplementedError("packed attention has no mask and no softcap, and needs bounds")
    lengths = bounds.diff().tolist()
    parts = zip(*(torch.split(part, lengths, dim=2) for part in (query, key, value)), strict=True)
    attended = [
        attend(
            *part,
            window=window,
            dropout=options.get("dropout", 0.0),
            scale=options.get("scaling"),
        )
        for part in parts
    ]
    return torch.cat(attended, dim=2).transpose(1, 2), None


def _no_mask(*_: Any, **__: Any) -> None:
    return None
