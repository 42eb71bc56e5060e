"""Writes many answers at once: one that ends leaves its slot to the next prompt at once."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from loraflow.evaluate.generate.forward import PROMPT_TOKENS, Forward, Read
from loraflow.evaluate.generate.prompt import Prompt
from loraflow.evaluate.generate.slots import Slots


@dataclass
class Writing:
    """An answer in the making."""

    place: int  # of its prompt among all
    prompt: Prompt
    read: Read | None  # until it has a slot
    tokens: list[int] = field(default_factory=list)
    generator: torch.Generator | None = None

    def add(self, logits: Tensor) -> None:
        """Choose the next token: the likeliest, or drawn by this answer's own generator."""
        if self.prompt.temperature == 0:
            self.tokens.append(int(logits.argmax()))
            return
        if self.generator is None:
            self.generator = torch.Generator().manual_seed(self.prompt.seed)
        shares = (logits.float().cpu() / self.prompt.temperature).softmax(dim=-1)
        self.tokens.append(int(torch.multinomial(shares, 1, generator=self.generator)))

    def is_done(self, stop: Sequence[int]) -> bool:
        """Tell whether the answer has ended, by itself or at its limit."""
        return self.tokens[-1] in stop or len(self.tokens) >= self.prompt.max_new_tokens


def decode(
    model: Any, prompts: Sequence[Prompt], *, slots: int, stop: Sequence[int]
) -> Iterator[Writing]:
    """Yield finished answers, in the order in which they finish; `model` as `answering` has it."""
    forward = Forward(model, slots)
    cache, active = Slots(slots, forward.layers), dict[int, Writing]()
    begun = _begin(forward, prompts, slots)
    while True:
        for slot in set(range(slots)) - set(active):
            for writing in begun:
                if not writing.is_done(stop):
                    active[slot] = _seat(writing, slot, cache)
                    break
                yield writing
        if not active:
            return
        newest = [active[slot].tokens[-1] if slot in active else 0 for slot in range(slots)]
        logits = forward.step(newest, cache)
        for slot, writing in list(active.items()):
            writing.add(logits[slot])
            if writing.is_done(stop):
                yield active.pop(slot)
                cache.clear(slot)


def _begin(forward: Forward, prompts: Sequence[Prompt], slots: int) -> Iterator[Writing]:
    """Read prompts as they are needed, the shortest first, and choose their first tokens."""
    waiting = deque(sorted(enumerate(prompts), key=lambda pair: len(pair[1].ids)))
    while waiting:
        yield from _read(forward, waiting, slots)


def _read(forward: Forward, waiting: deque[tuple[int, Prompt]], most: int) -> list[Writing]:
    """Read as many of the waiting prompts as go into one pass, and choose their first tokens."""
    taken = [waiting.popleft()]
    room = PROMPT_TOKENS - len(taken[0][1].ids)
    while waiting and len(taken) < most and len(waiting[0][1].ids) <= room:
        room -= len(waiting[0][1].ids)
        taken.append(waiting.popleft())
    reads = forward.read([prompt.ids for _, prompt in taken])
    begun = [Writing(*pair, read) for pair, read in zip(taken, reads, strict=True)]
    for writing, read in zip(begun, reads, strict=True):
        writing.add(read.logits)
    return begun


def _seat(writing: Writing, slot: int, cache: Slots) -> Writing:
    if writing.read is not None:
        cache.fill(slot, writing.read.layers)
        writing.read = None  # copied: the slot has it
    return writing
