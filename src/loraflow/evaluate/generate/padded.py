"""Answers for models that cannot write in slots: transformers' own `generate`, padded on the left.

Rounding may then depend on what stands in a batch, in bfloat16 more than in float32.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from loraflow.evaluate.generate.prompt import Prompt
from loraflow.model.tokenizer import Tokenizer


def generate_padded(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    batch_size: int,
    stop: Sequence[int],
) -> Iterator[tuple[int, list[int]]]:
    """Yield the place of each prompt and the tokens of its answer, batch by batch."""
    for batch in _batches(prompts, batch_size):
        written = _generate(model, tokenizer, [prompts[place] for place in batch], list(stop))
        for place, tokens in zip(batch, written, strict=True):
            yield place, _until_end(tokens, stop)[: prompts[place].max_new_tokens]


def _batches(prompts: Sequence[Prompt], size: int) -> Iterator[list[int]]:
    """Group places of like length; one that is drawn is alone, so that its seed decides it."""
    drawn = [place for place, prompt in enumerate(prompts) if prompt.temperature > 0]
    sure = [place for place, prompt in enumerate(prompts) if prompt.temperature == 0]
    sure.sort(key=lambda place: (prompts[place].max_new_tokens, len(prompts[place].ids)))
    yield from (sure[start : start + size] for start in range(0, len(sure), size))
    yield from ([place] for place in drawn)


def _generate(
    model: Any, tokenizer: Tokenizer, prompts: Sequence[Prompt], stop: list[int]
) -> list[list[int]]:
    inputs = tokenizer.pad(
        {"input_ids": [prompt.ids for prompt in prompts]}, padding_side="left", return_tensors="pt"
    )
    first = prompts[0]
    how = {"do_sample": True, "temperature": first.temperature, "top_k": 0}
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(first.seed)
        output = model.generate(
            **inputs.to(model.device),
            max_new_tokens=max(prompt.max_new_tokens for prompt in prompts),
            eos_token_id=stop,
            pad_token_id=tokenizer.pad_token_id,
            **(how if first.temperature > 0 else {"do_sample": False}),
        )
    rows: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
    return rows


def _until_end(tokens: list[int], stop: Sequence[int]) -> list[int]:
    ends = (place for place, token in enumerate(tokens) if token in stop)
    return tokens[: next(ends, len(tokens)) + 1]
