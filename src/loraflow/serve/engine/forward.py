"""One pass of a model over new tokens of many answers: prompts that are read, answers that go on.

Every token is a row of its own, a batch of sequences of length one, and attention alone puts the
tokens of an answer together. So prompts of any length and answers of any age share a pass, and PEFT
can put another adapter on every row. A few rows at the end belong to nobody: see `rows_of`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from loraflow.errors import UserError
from loraflow.serve.engine.memory import Memory, layers_of
from loraflow.train.loss import output_logits, require_known_head

_NAME = "loraflow_serve"
_EXACT_BITS = 4  # passes of up to 16 tokens have just as many rows
_LEAST_LIKENESS = 0.99  # cosine; bfloat16 rounds, a wrong attention is far below
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Segment:
    """New tokens of one answer."""

    memory: Memory  # of the tokens before them
    tokens: Sequence[int]


@torch.inference_mode()
def run_pass(causal_lm: Any, segments: Sequence[Segment]) -> Tensor:
    """Return the logits behind the last token of each segment: (segments, vocabulary).

    The memories then have the new tokens too; if the pass fails, none has. `causal_lm` is as
    `prepare` left it.
    """
    device = causal_lm.device
    tokens = [token for segment in segments for token in segment.tokens]
    positions = [
        segment.memory.length + place
        for segment in segments
        for place in range(len(segment.tokens))
    ]
    nobodys = [0] * (rows_of(len(tokens)) - len(tokens))
    hidden = causal_lm.base_model(
        input_ids=torch.tensor(tokens + nobodys, device=device)[:, None],
        position_ids=torch.tensor(positions + nobodys, device=device)[:, None],
        use_cache=False,
        segments=segments,
    ).last_hidden_state[:, 0]
    last, end = [], 0
    for segment in segments:
        end += len(segment.tokens)
        last.append(end - 1)
    logits = output_logits(causal_lm, hidden[last])
    for segment in segments:
        segment.memory.advance(len(segment.tokens))
    return logits


def rows_of(tokens: int) -> int:
    """Return how many rows a pass over so many tokens has: up to an eighth more.

    On a CPU oneDNN compiles a product anew for each number of rows, and keeps the code: with all
    numbers from 1 to 272 a server of a tiny model grew by 600 MiB in four minutes, and wrote a
    seventh less.
    """
    step = 1 << max(0, (tokens - 1).bit_length() - _EXACT_BITS)
    return -(-tokens // step) * step


def prepare(causal_lm: Any) -> None:
    """Let the model run in passes, if its answers are then its own.

    Raises:
        UserError: if they are not: it keeps more than keys and values, or computes attention in a
            way that is not known here.
    """
    require_known_head(causal_lm)
    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, _no_mask)
    layers = getattr(causal_lm.config.get_text_config(), "layer_types", None) or ["full_attention"]
    known = causal_lm._supports_attention_backend and _KNOWN_LAYERS.issuperset(layers)
    expected = _own_logits(causal_lm)
    causal_lm.set_attn_implementation(_NAME)
    if not (known and _agrees(causal_lm, expected)):
        raise UserError(
            f"{type(causal_lm).__name__} mixes tokens in a way that the embedded server does not "
            "know; serve it with vLLM (make vllm)"
        )


def context_of(causal_lm: Any) -> int:
    """Return how many tokens a prompt and its answer may have.

    LongRoPE (arXiv:2402.13753) has two sets of frequencies, and a pass takes the long one for all
    its answers as soon as one of them is long. So none may be.
    """
    config = causal_lm.config.get_text_config()
    most = int(config.max_position_embeddings)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        return min(most, int(rope["original_max_position_embeddings"]))
    return most


_TRIED = ([1, 2, 3, 4, 5], [6, 7, 8])  # read in one pass but for the last token, which is written


@torch.inference_mode()
def _own_logits(causal_lm: Any) -> list[Tensor]:
    rows = [torch.tensor([ids], device=causal_lm.device) for ids in _TRIED]
    return [causal_lm(input_ids=row, use_cache=False).logits[0, -1].float() for row in rows]


def _agrees(causal_lm: Any, expected: Sequence[Tensor]) -> bool:
    memories = [Memory(layers_of(causal_lm), len(ids)) for ids in _TRIED]
    pairs = list(zip(memories, _TRIED, strict=True))
    try:
        run_pass(causal_lm, [Segment(memory, ids[:-1]) for memory, ids in pairs])
        found = run_pass(causal_lm, [Segment(memory, ids[-1:]) for memory, ids in pairs])
    except (NotImplementedError, TypeError, ValueError):
        return False
    return all(
        float(F.cosine_similarity(own, row.float(), dim=0)) > _LEAST_LIKENESS
        for own, row in zip(expected, found, strict=True)
    )


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, _: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attend within each segment; all tensors are (tokens, heads, 1, width)."""
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise NotImplementedError("attention with a softcap or sinks is not computed in segments")
    attended, start = [], 0
    for segment in options["segments"]:
        rows = slice(start, start + len(segment.tokens))
        start = rows.stop
        seen = segment.memory.extend(
            module.layer_idx, key[rows, :, 0].transpose(0, 1), value[rows, :, 0].transpose(0, 1)
        )
        attended.append(_attend(query[rows, :, 0], *seen, **options))
    nobodys = query.new_zeros(len(query) - start, *attended[0].shape[1:])
    return torch.cat([*attended, nobodys])[:, None], None


def _attend(query: Tensor, keys: Tensor, values: Tensor, **options: Any) -> Tensor:
    """Let new tokens see all before them.

    Args:
        query: (new, heads, width)
        keys: (groups, seen, width); the new tokens are the last of those seen
        values: (groups, seen, width)
        options: scaling of the scores, and sliding_window, how many tokens back are seen

    Returns:
        (new, heads, width)
    """
    new, heads, width = query.shape
    groups, seen, _ = keys.shape
    share = heads // groups  # heads that share keys are rows of one query: torch's fused kernel
    rows = query.view(new, groups, share, width).permute(1, 2, 0, 3).reshape(1, groups, -1, width)
    window = options.get("sliding_window") or seen
    if new == 1:
        keys, values, mask = keys[:, -window:], values[:, -window:], None
    else:
        mask = _mask(new, seen, window, query.device).repeat(share, 1)
    attended = F.scaled_dot_product_attention(
        rows, keys[None], values[None], attn_mask=mask, scale=options.get("scaling")
    )
    return attended.view(groups, share, new, -1).permute(2, 0, 1, 3).reshape(new, heads, -1)


def _mask(new: int, seen: int, window: int, device: torch.device) -> Tensor:
    """Return what each new token sees of all: itself and `window` - 1 before it."""
    at = torch.arange(seen - new, seen, device=device)[:, None]
    to = torch.arange(seen, device=device)
    return (to <= at) & (to > at - window)


def _no_mask(*_: Any, **__: Any) -> None:
    return None
