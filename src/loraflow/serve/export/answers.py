"""How far one model's answers are from another's: logits along them, and tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Asking:
    """How models are asked: for the likeliest token at each place, up to an end."""

    stop: Sequence[int]  # tokens that end an answer
    max_new_tokens: int  # it is cut here


@dataclass(frozen=True)
class Answered:
    """A prompt, the tokens a model answered it with, and the logits behind each of them."""

    prompt: list[int]
    answer: list[int]
    logits: Tensor  # (tokens of the answer, vocabulary), float32, in memory of the CPU


@dataclass(frozen=True)
class Reply:
    """What another model makes of a prompt that was answered."""

    answer: list[int]  # its own
    logits: Tensor  # at the tokens of the answer that was given before


@dataclass(frozen=True)
class Gap:
    """How far a model is from the adapter that it was made of."""

    what: str
    largest: float  # difference of any logit, at the tokens of the adapter's answers
    mean: float  # of all of them
    same_tokens: float  # share of places at which both wrote the same token, by themselves
    same_answers: int
    answers: int
    from_untuned: float | None = None  # of an export: its mean difference from the base alone

    @property
    def has_lost_the_training(self) -> bool:
        """Tell whether it is nearer to the base alone than to the adapter."""
        return self.from_untuned is not None and self.from_untuned < self.mean


@torch.inference_mode()
def answer(model: Any, prompts: Sequence[list[int]], asking: Asking) -> list[Answered]:
    """Answer each prompt alone."""
    answered = []
    for prompt in prompts:
        tokens = _write(model, prompt, asking)
        answered.append(Answered(prompt, tokens, _logits(model, prompt, tokens)))
    return answered


@torch.inference_mode()
def reply(model: Any, adapted: Sequence[Answered], asking: Asking) -> list[Reply]:
    """Answer the prompts that the adapter has answered, and go along its answers."""
    return [
        Reply(_write(model, one.prompt, asking), _logits(model, one.prompt, one.answer))
        for one in adapted
    ]


def measure_gap(
    what: str,
    adapted: Sequence[Answered],
    replies: Sequence[Reply],
    *,
    untuned: Sequence[Reply] | None = None,
) -> Gap:
    """Compare a model's replies with the adapter's answers and, of an export, with the base's."""
    pairs = list(zip(adapted, replies, strict=True))
    from_untuned = None if untuned is None else _mean_distance(zip(untuned, replies, strict=True))
    places = sum(max(len(one.answer), len(other.answer)) for one, other in pairs)
    return Gap(
        what,
        largest=max(float((one.logits - other.logits).abs().max()) for one, other in pairs),
        mean=_mean_distance(pairs),
        same_tokens=sum(_same_tokens(one.answer, other.answer) for one, other in pairs) / places,
        same_answers=sum(one.answer == other.answer for one, other in pairs),
        answers=len(pairs),
        from_untuned=from_untuned,
    )


def _same_tokens(one: list[int], other: list[int]) -> int:
    return sum(mine == its for mine, its in zip(one, other, strict=False))


def _mean_distance(pairs: Iterable[tuple[Answered | Reply, Reply]]) -> float:
    total, count = 0.0, 0
    for one, other in pairs:
        total += float((one.logits - other.logits).abs().double().sum())
        count += one.logits.numel()
    return total / count


def _write(model: Any, prompt: list[int], asking: Asking) -> list[int]:
    ids = torch.tensor([prompt], device=model.device)
    written = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=asking.max_new_tokens,
        do_sample=False,
        eos_token_id=list(asking.stop),
        pad_token_id=asking.stop[0],
    )
    tokens: list[int] = written[0, len(prompt) :].tolist()
    return tokens


def _logits(model: Any, prompt: list[int], answer: list[int]) -> Tensor:
    """Return the logits that each token of the answer was chosen by."""
    ids = torch.tensor([prompt + answer], device=model.device)
    found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    rows: Tensor = found[-len(answer) - 1 : -1]  # vectors before the text may stand in front
    return rows.float().cpu()
