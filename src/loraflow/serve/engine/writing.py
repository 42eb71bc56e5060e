"""An answer in the making."""

import time
from dataclasses import dataclass, field

from torch import Tensor

from loraflow.serve.engine.memory import Memory
from loraflow.serve.engine.sample import Sampler
from loraflow.serve.engine.text import TextStream
from loraflow.serve.engine.wish import Finish, Piece, Receive, Wish


@dataclass(eq=False)
class Writing:
    """What is known of an answer between two passes."""

    wish: Wish
    digest: str  # of the adapter
    receive: Receive
    stream: TextStream
    memory: Memory | None = None  # from its first pass on
    tokens: list[int] = field(default_factory=list)  # written
    cancelled: bool = False
    submitted: float = field(default_factory=time.monotonic)
    sampler: Sampler = field(init=False)

    def __post_init__(self) -> None:
        """Make what draws this answer's tokens."""
        self.sampler = Sampler(self.wish)

    @property
    def most(self) -> int:
        """Return how many tokens prompt and answer can have."""
        return len(self.wish.prompt) + self.wish.max_tokens

    @property
    def unread(self) -> list[int]:
        """Return the tokens that the model has not seen yet: of the prompt, or the newest one."""
        seen = 0 if self.memory is None else self.memory.length
        return [*self.wish.prompt, *self.tokens][seen:]

    def write(self, logits: Tensor, stop: list[int]) -> bool:
        """Choose the next token, hand over its text, and tell whether the answer has ended."""
        token = self.sampler.choose(logits)
        self.tokens.append(token)
        text = self.stream.add(token)
        if token in stop or self.stream.stopped:
            self._end(text, "stop")
        elif len(self.tokens) >= self.wish.max_tokens:
            self._end(text, "length")
        else:
            if text:
                self.receive(Piece(text, len(self.tokens)))
            return False
        return True

    def give_up(self, why: Finish) -> None:
        """End the answer before it has ended."""
        self.receive(Piece("", len(self.tokens), why))

    def _end(self, text: str, why: Finish) -> None:
        self.receive(Piece(text + self.stream.end(), len(self.tokens), why))
