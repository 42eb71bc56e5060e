"""What the model does for the answers in the making: passes over what is new to each of them."""

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby

from torch import Tensor

from loraflow.model.load import CausalLM
from loraflow.serve.engine.bodies import Bodies
from loraflow.serve.engine.forward import Segment, run_pass
from loraflow.serve.engine.memory import Memory, layers_of
from loraflow.serve.engine.remembered import Remembered
from loraflow.serve.engine.threads import Threads
from loraflow.serve.engine.writing import Writing

log = logging.getLogger(__name__)

_PASS_TOKENS = 256  # of prompts in one pass: longer ones are read in parts, while others go on

_Part = tuple[Writing, list[int]]
"""An answer, and the tokens that the model reads of it next."""


class Passes:
    """Runs passes through the bodies around one base, in one thread."""

    def __init__(self, causal_lm: CausalLM, stop: list[int]) -> None:
        """Take a model that `forward.prepare` has prepared, and the tokens that end an answer."""
        self._layers = layers_of(causal_lm)
        self._threads = Threads(lambda sizes: self._try(causal_lm, sizes), causal_lm.device)
        self.bodies = Bodies(causal_lm)
        self._stop = stop
        self._remembered = Remembered()

    def run(self, writings: Sequence[Writing]) -> Iterator[Writing]:
        """Let each answer go on by a pass, and yield those that have ended, as they do."""
        room = _PASS_TOKENS
        for _, group in groupby(sorted(writings, key=self._body_id), self._body_id):
            parts = []
            for writing in group:
                part = self._part(writing, room)
                room -= len(part) if len(part) > 1 else 0
                if part:
                    parts.append((writing, part))
            if parts:
                yield from self._run_parts(parts)

    def unload(self, digest: str) -> None:
        """Detach an adapter, and forget what was read with it."""
        self.bodies.unload(digest)
        self._remembered.forget(digest)

    def _body_id(self, writing: Writing) -> int:
        return id(self.bodies.body(writing.digest))

    def _part(self, writing: Writing, room: int) -> list[int]:
        """Return the next tokens that the model reads of an answer; of a prompt, `room` at most."""
        if writing.memory is None:
            writing.memory = self._remembered_of(writing) or Memory(self._layers, writing.most)
        unread = writing.unread
        return unread if len(unread) == 1 else unread[: max(room, 0)]

    def _remembered_of(self, writing: Writing) -> Memory | None:
        """Return what is remembered of a prompt, if there is memory for a copy of it."""
        try:
            return self._remembered.begin(writing.digest, writing.wish.prompt, writing.most)
        except RuntimeError as error:
            log.warning("a prompt is read anew: %s", error)
            return None

    def _run_parts(self, parts: list[_Part]) -> Iterator[Writing]:
        """Run a pass; of one that fails, each answer alone: what then fails is to blame."""
        logits = self._logits(parts)
        if logits is not None:
            for (writing, _), row in zip(parts, logits, strict=True):
                if self._is_over(writing, row):
                    yield writing
        elif len(parts) > 1:
            for part in parts:
                yield from self._run_parts([part])
        else:
            [(writing, _)] = parts
            writing.give_up("failed")
            yield writing

    def _logits(self, parts: list[_Part]) -> Tensor | None:
        """Return the logits behind each part; None if the pass failed, and no memory has grown."""
        digests = [writing.digest for writing, _ in parts]
        segments = [Segment(writing.memory, part) for writing, part in parts if writing.memory]
        names = [self.bodies.row_name(digest) for digest in digests]
        try:
            with self._threads.of(sum(len(part) for _, part in parts)):
                return self.bodies.body(digests[0]).run(segments, names)
        except Exception as error:
            if len(parts) == 1:
                log.exception("an answer failed; it ends here")
            else:
                log.warning("a pass over %d answers failed, each goes alone: %s", len(parts), error)
            return None

    def _is_over(self, writing: Writing, logits: Tensor) -> bool:
        """Write the next token of an answer whose prompt is read, and tell whether it has ended."""
        if writing.unread:
            return False
        try:
            is_over = writing.write(logits, self._stop)
        except RuntimeError:  # nothing can be drawn from what a broken adapter puts out
            log.exception("an answer failed; it ends here")
            writing.give_up("failed")
            return True
        if is_over:
            self._remember(writing)
        return is_over

    def _remember(self, writing: Writing) -> None:
        tokens = [*writing.wish.prompt, *writing.tokens]
        assert writing.memory is not None  # it was written from one
        try:
            self._remembered.keep(writing.digest, tokens, writing.memory)
        except RuntimeError as error:  # no memory for a copy
            log.warning("an answer is not remembered: %s", error)

    def _try(self, causal_lm: CausalLM, sizes: list[int]) -> Tensor:
        segments = [Segment(Memory(self._layers, size), [0] * size) for size in sizes]
        return run_pass(causal_lm, segments)
