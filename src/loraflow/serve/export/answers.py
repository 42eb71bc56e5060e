"""How far one model's answers are from another's: logits along them, and tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Answered:
    """A prompt, the tokens a model answered it with, and the logits behind each of them."""

    prompt: list[int]
    answer: list[int]
    logits: Tensor  # (tokens of the answer, vocabulary), float32, in memory of the CPU


@dataclass(frozen=True)
class Gap:
    """How far a model is from the adapter that it was made of."""

    what: str
    largest: float  # difference of any logit, at the tokens of the adapter's answers
    mean: float  # of all of them
    same_tokens: float  # share of places at which both wrote the same token, by themselves
    same_answers: int
    answers: int
    from_untuned: float | None = None  # mean difference from the base alone, at the same tokens

    @property
    def has_lost_the_training(self) -> bool:
        """Tell whether it is nearer to the base alone than to the adapter."""
        return self.from_untuned is not None and self.from_untuned < self.mean


@torch.inference_mode()
def answer(
    model: Any, prompts: Sequence[list[int]], *, stop: Sequence[int], max_new_tokens: int
) -> list[Answered]:
    """Answer each prompt alone, with the likeliest token at each place."""
    answered = []
    for prompt in prompts:
        tokens = _write(model, prompt, stop, max_new_tokens)
        answered.append(Answered(prompt, tokens, _logits(model, prompt, tokens)))
    return answered


@torch.inference_mode()
def logits_along(model: Any, adapted: Sequence[Answered]) -> list[Tensor]:
    """Return what `model` says at the tokens of each answer, shaped as its logits."""
    return [_logits(model, one.prompt, one.answer) for one in adapted]


def mean_distance(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the mean difference of a logit."""
    pairs = list(zip(ones, others, strict=True))
    total = sum(float((one - other).abs().double().sum()) for one, other in pairs)
    return total / sum(one.numel() for one in ones)


@torch.inference_mode()
def measure_gap(
    what: str, model: Any, adapted: Sequence[Answered], *, stop: Sequence[int], max_new_tokens: int
) -> Gap:
    """Compare `model` with the one that answered `adapted`."""
    found = logits_along(model, adapted)
    same, places, equal = 0, 0, 0
    for one in adapted:
        tokens = _write(model, one.prompt, stop, max_new_tokens)
        same += sum(mine == its for mine, its in zip(tokens, one.answer, strict=False))
        places += max(len(tokens), len(one.answer))
        equal += tokens == one.answer
    return Gap(
        what,
        largest=max(
            float((logits - one.logits).abs().max())
            for logits, one in zip(found, adapted, strict=True)
        ),
        mean=mean_distance(found, [one.logits for one in adapted]),
        same_tokens=same / places,
        same_answers=equal,
        answers=len(adapted),
    )


def _write(model: Any, prompt: list[int], stop: Sequence[int], most: int) -> list[int]:
    ids = torch.tensor([prompt], device=model.device)
    written = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=most,
        do_sample=False,
        eos_token_id=list(stop),
        pad_token_id=stop[0],
    )
    tokens: list[int] = written[0, len(prompt) :].tolist()
    return tokens


def _logits(model: Any, prompt: list[int], answer: list[int]) -> Tensor:
    """Return the logits that each token of the answer was chosen by."""
    ids = torch.tensor([prompt + answer], device=model.device)
    found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    rows: Tensor = found[-len(answer) - 1 : -1]  # vectors before the text may stand in front
    return rows.float().cpu()
