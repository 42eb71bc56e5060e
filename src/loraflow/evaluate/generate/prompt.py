"""What is asked of a model, and what it wrote."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """Token ids to go on from, and how."""

    key: str  # names the answer where it is kept
    ids: list[int]
    max_new_tokens: int
    temperature: float = 0.0  # 0 takes the likeliest token, so the same answer every time
    seed: int = 0  # of what is drawn above 0; nothing else decides it


@dataclass(frozen=True)
class Answer:
    """What a model wrote."""

    text: str
    ended: bool  # by itself; else it was cut at max_new_tokens
    tokens: int  # written, the one that ends it among them
