"""Cuts an example that is too long: its prompt from the left, its last answer from the right."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import dropwhile
from typing import Literal

from loraflow.data.template import IGNORED, Example

Policy = Literal["drop", "cut_prompt", "cut_answer", "proportional"]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """In tokens."""

    prompt: int
    answer: int
    least_prompt: int
    max_length: int


def truncate(example: Example, max_length: int, *, policy: Policy, keep: int = 0) -> Example | None:
    """Return the example in at most `max_length` tokens, None if it is to be set aside.

    The prompt is all that stands before the last learned answer, earlier turns too. It is cut from
    the left, behind `keep` leading tokens (BOS); at least one more of its tokens stays, so that the
    answer is still asked for. An answer that is cut loses its EOS: the model must not learn to stop
    in mid-sentence. An example that teaches nothing is set aside whatever its length.
    """
    prompt = example.answer_start
    if prompt is None:
        return None
    if len(example.labels) <= max_length:
        return example
    keep, least = min(prompt, keep), min(prompt, keep + 1)
    sizes = _Sizes(prompt, len(example.labels) - prompt, least, max_length)
    answer = _ANSWER_TOKENS[policy](sizes)
    cut = max(0, prompt + answer - max_length)
    if answer < 1 or prompt - cut < least:
        return None
    return _slice(example, keep=keep, cut=cut, end=prompt + answer)


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


_ANSWER_TOKENS: dict[Policy, Callable[[_Sizes], int]] = {  # how many of the answer stay
    "drop": lambda _: 0,
    "cut_prompt": lambda sizes: sizes.answer,
    "cut_answer": lambda sizes: sizes.max_length - sizes.prompt,
    "proportional": _proportional,
}
