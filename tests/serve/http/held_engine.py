"""An engine whose answers come when the test says so; its names and tokens are real."""

from dataclasses import dataclass, field
from typing import Any, cast

from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.engine.engine import Engine, QueueFull, Ticket
from loraflow.serve.engine.wish import Finish, Piece, Receive, Wish


@dataclass
class Held:
    """An answer that the test writes."""

    adapter: Adapter
    wish: Wish
    receive: Receive
    tokens: int = 0
    finish: Finish | None = None
    said: list[str] = field(default_factory=list)

    def say(self, text: str, finish: Finish | None = None) -> None:
        if self.finish is None:
            self.tokens += 1
            self.finish = finish
            self.receive(Piece(text, self.tokens, finish))

    def cancel(self) -> None:
        if self.finish is None:
            self.finish = "cancelled"
            self.receive(Piece("", self.tokens, "cancelled"))


class HeldEngine:
    """Takes as many answers at once as it is asked for, unless it is told to be busy."""

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self.tokenizer = load_tokenizer(base)
        self.context = 1024
        self.is_open = True
        self.answers: list[Held] = []
        self.waiting = 0
        self.is_full = False
        self.at_once: str | None = None  # what every answer is, without waiting for the test

    def submit(self, adapter: Adapter, wish: Wish, receive: Receive) -> Ticket:
        if self.is_full:
            raise QueueFull("full")
        held = Held(adapter, wish, receive)
        self.answers.append(held)
        if self.at_once is not None:
            held.say(self.at_once, "stop")
        return cast(Ticket, held)

    def load(self, adapter: Adapter) -> None:
        """Nothing has to be in memory."""

    def counts(self) -> tuple[int, int]:
        return sum(held.finish is None for held in self.answers), self.waiting

    def as_engine(self) -> Engine:
        return cast(Engine, cast(Any, self))
