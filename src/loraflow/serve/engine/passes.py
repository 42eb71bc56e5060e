"""What the model does for the answers in the making: passes over what is new to each of them."""

import logging
from collections.abc import Sequence
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

    def run(self, writings: Sequence[Writing]) -> list[Writing]:
        """Let each answer go on by a pass, and return those that have ended."""
        room = _PASS_TOKENS
        ended: list[Writing] = []
        for _, group in groupby(sorted(writings, key=self._body_id), self._body_id):
            parts = []
            for writing in group:
                part = self._part(writing, room)
                room -= len(part) if len(part) > 1 else 0
                if part:
                    parts.append((writing, part))
            if parts:
                ended += self._run_parts(parts)
        return ended

    def unload(self, digest: str) -> None:
        """Detach an adapter, and forget what was read with it."""
        self.bodies.unload(digest)
        self._remembered.forget(digest)

    def _body_id(self, writing: Writing) -> int:
        return id(self.bodies.body(writing.digest))

    def _part(self, writing: Writing, room: int) -> list[int]:
        """Return the next tokens that the model reads of an answer; of a prompt, `room` at most."""
        if writing.memory is None:
            prompt, most = writing.wish.prompt, writing.most
            writing.memory = self._remembered.begin(writing.digest, prompt, most)
            writing.memory = writing.memory or Memory(self._layers, most)
        unread = writing.unread
        return unread if len(unread) == 1 else unread[: max(room, 0)]

    def _run_parts(self, parts: list[_Part]) -> list[Writing]:
        """Run a pass; of one that fails, each answer alone: what then fails is to blame."""
        logits = self._logits(parts)
        if logits is not None:
            rows = zip(parts, logits, strict=True)
            return [writing for (writing, _), row in rows if self._is_over(writing, row)]
        if len(parts) > 1:
            return [writing for part in parts for writing in self._run_parts([part])]
        [(writing, _)] = parts
        writing.give_up("failed")
        return [writing]

    def _logits(self, parts: list[_Part]) -> Tensor | None:
        """Return the logits behind each part; None if the pass failed, and no memory has grown."""
        digests = [writing.digest for writing, _ in parts]
        segments = [Segment(writing.memory, part) for writing, part in parts if writing.memory]
        names = [self.bodies.row_name(digest) for digest in digests]
        try:
            with self._threads.of(sum(len(part) for _, part in parts)):
                return self.bodies.body(digests[0]).run(segments, names)
        except Exception:
            log.exception("a pass over %d answers failed", len(parts))
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
        if is_over and writing.memory is not None:
            tokens = [*writing.wish.prompt, *writing.tokens]
            self._remembered.keep(writing.digest, tokens, writing.memory)
        return is_over

    def _try(self, causal_lm: CausalLM, sizes: list[int]) -> Tensor:
        segments = [Segment(Memory(self._layers, size), [0] * size) for size in sizes]
        return run_pass(causal_lm, segments)
