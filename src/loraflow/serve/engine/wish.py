"""What is asked of the engine, and what comes back piece by piece."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Finish = Literal["stop", "length", "cancelled", "failed"]


@dataclass(frozen=True)
class Wish:
    """An answer that is wanted."""

    prompt: list[int]  # token ids
    max_tokens: int
    temperature: float = 0.0  # 0 takes the likeliest token
    top_p: float = 1.0  # share of the probability that is drawn from (arXiv:1904.09751)
    seed: int | None = None  # of what is drawn; None: another every time
    stop: tuple[str, ...] = ()  # texts that end the answer, and are not part of it
    background: bool = False  # waits until nobody else does


@dataclass(frozen=True)
class Piece:
    """What is new of an answer: never half a character."""

    text: str
    tokens: int  # of the whole answer so far
    finish: Finish | None = None  # why it ended, in the last piece


Receive = Callable[[Piece], None]
"""Gets pieces, in the engine's thread; must not wait."""
