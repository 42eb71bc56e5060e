"""Cuts an example that is too long: its prompt from the left, its last answer from the right."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import dropwhile
from typing import Literal

from loraflow.data.template import IGNORED, Example

Policy = Literal["drop", "cut_prompt", "cut_answer", "proportional", "windows"]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """In tokens."""

    prompt: int
    answer: int
    keep: int  # leading tokens of the prompt that stay
    max_length: int

    @property
    def least_prompt(self) -> int:
        """One more than is kept, so that the answer is still asked for."""
        return min(self.prompt, self.keep + 1)


def truncate(example: Example, max_length: int, *, policy: Policy, keep: int = 0) -> Example | None:
    """Return the example in at most `max_length` tokens, None if it is to be set aside.

    The prompt is all that stands before the last learned answer, earlier turns too. It is cut from
    the left, behind `keep` leading tokens (BOS); at least one more of its tokens stays, so that the
    answer is still asked for. An answer that is cut loses its EOS: the model must not learn to stop
    in mid-sentence. An example that teaches nothing is set aside whatever its length. Windows are
    for raw text (`cut_windows`); here that policy is cut_prompt.
    """
    prompt = example.answer_start
    if prompt is None:
        return None
    if len(example.labels) <= max_length:
        return example
    sizes = _Sizes(prompt, len(example.labels) - prompt, min(prompt, keep), max_length)
    fit = _fit(sizes, policy)
    return fit and _slice(example, keep=sizes.keep, cut=fit[0], end=prompt + fit[1])


def truncate_pair(
    chosen: Example, rejected: Example, max_length: int, *, policy: Policy, keep: int = 0
) -> tuple[Example, Example] | None:
    """Return two answers to one prompt, each in at most `max_length` tokens, by the rules above.

    The longer answer decides what is cut, so that both keep the very same prompt. None if one of
    them cannot fit, or what is left of them is the same.
    """
    prompt = chosen.answer_start
    longest = max(len(chosen.labels), len(rejected.labels))
    if prompt is None or longest <= max_length:
        return None if prompt is None else (chosen, rejected)
    sizes = _Sizes(prompt, longest - prompt, min(prompt, keep), max_length)
    fit = _fit(sizes, policy)
    if fit is None:
        return None
    better, worse = (
        _slice(side, keep=sizes.keep, cut=fit[0], end=prompt + fit[1])
        for side in (chosen, rejected)
    )
    return None if better.input_ids == worse.input_ids else (better, worse)


def cut_windows(example: Example, max_length: int, *, keep: int = 0) -> list[Example]:
    """Return an example that is learned whole in windows of at most `max_length` tokens.

    Every token is learned exactly once, but for the very first. A window begins with a token that
    is only read: BOS where the example begins with it (`keep`), else the token before it.
    """
    if len(example.labels) <= max_length:
        return [example]
    ids, labels, step = example.input_ids, example.labels, max_length - 1
    return [
        Example(
            [ids[0 if keep else start], *ids[start + 1 : start + max_length]],
            [IGNORED, *labels[start + 1 : start + max_length]],
            example.turns_not_learned,
        )
        for start in range(0, len(ids) - 1, step)
    ]


def _fit(sizes: _Sizes, policy: Policy) -> tuple[int, int] | None:
    """Return how many tokens of the prompt go and how many of the answer stay."""
    answer = _ANSWER_TOKENS[policy](sizes)
    cut = max(0, sizes.prompt + answer - sizes.max_length)
    if answer < 1 or sizes.prompt - cut < sizes.least_prompt:
        return None
    return cut, answer


def _proportional(sizes: _Sizes) -> int:
    """Cut the longer side where the other takes less than half the room; else both alike.

    The rule is that of LLaMA-Factory (processor_utils.infer_seqlen), which however cuts prompts
    from the right.
    """
    if sizes.answer * 2 < sizes.max_length:
        return sizes.answer
    if sizes.prompt * 2 < sizes.max_length:
        return sizes.max_length - sizes.prompt
    share = sizes.max_length * sizes.answer // (sizes.prompt + sizes.answer)
    return max(1, min(share, sizes.max_length - sizes.least_prompt))


def _slice(example: Example, *, keep: int, cut: int, end: int) -> Example:
    """Leave out `cut` tokens behind the first `keep`, and all from `end`."""
    input_ids = example.input_ids[:keep] + example.input_ids[keep + cut : end]
    head, rest = example.labels[:keep], example.labels[keep + cut : end]
    if cut:  # the rest of an answer whose question is gone is read, but not learned
        asked = list(dropwhile(lambda label: label != IGNORED, rest))
        rest = [IGNORED] * (len(rest) - len(asked)) + asked
    return Example(input_ids, head + rest, example.turns_not_learned)


def _whole_answer(sizes: _Sizes) -> int:
    return sizes.answer


_ANSWER_TOKENS: dict[Policy, Callable[[_Sizes], int]] = {  # how many of the answer stay
    "drop": lambda _: 0,
    "cut_prompt": _whole_answer,
    "cut_answer": lambda sizes: sizes.max_length - sizes.prompt,
    "proportional": _proportional,
    "windows": _whole_answer,
}
