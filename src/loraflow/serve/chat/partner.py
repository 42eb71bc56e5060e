"""Who answers in a conversation: an adapter, and what was said to it so far."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from loraflow.config import ChatConfig
from loraflow.data.records import Message
from loraflow.errors import UserError
from loraflow.serve.engine.engine import Engine, Ticket
from loraflow.serve.engine.wish import Piece, Wish
from loraflow.serve.names.names import Names


@dataclass
class Partner:
    """One side of a conversation."""

    name: str  # of the adapter, as it was asked for
    messages: list[Message] = field(default_factory=list)

    def hear(self, text: str) -> None:
        """Add what the user says."""
        self.messages.append({"role": "user", "content": text})

    def say(self, text: str) -> None:
        """Add the answer; if there is none, the question was not asked either."""
        if text:
            self.messages.append({"role": "assistant", "content": text})
        else:
            self.messages.pop()


class Room:
    """An engine, and the names of those that one can talk to."""

    def __init__(self, engine: Engine, names: Names, settings: ChatConfig) -> None:
        """Answer as `settings` say."""
        self._engine = engine
        self._names = names
        self._settings = settings

    @contextmanager
    def answers(self, partners: Sequence[Partner]) -> Iterator[Iterator[tuple[int, Piece]]]:
        """Yield the pieces of all partners' answers, each with its partner's number.

        Left early, the block ends the answers.

        Raises:
            UserError: if a conversation is longer than the model can read.
        """
        pieces: queue.Queue[tuple[int, Piece]] = queue.Queue()
        with ExitStack() as stack:
            for number, partner in enumerate(partners):
                ticket = self._ask(stack, number, partner, pieces)
                stack.callback(ticket.cancel)
            yield _until_all_ended(pieces, len(partners))

    def _ask(
        self,
        stack: ExitStack,
        number: int,
        partner: Partner,
        pieces: "queue.Queue[tuple[int, Piece]]",
    ) -> Ticket:
        adapter = stack.enter_context(self._names.lease(partner.name))
        prompt = self._names.prompt_ids(adapter, self._with_system(partner.messages))
        room = self._engine.context - len(prompt)
        if room < 1:
            raise UserError(
                f"the conversation has {len(prompt)} tokens and the model reads "
                f"{self._engine.context}; /clear begins a new one"
            )
        wish = Wish(
            prompt, min(self._settings.max_tokens, room), self._settings.temperature, top_p=0.95
        )
        return self._engine.submit(adapter, wish, lambda piece: pieces.put((number, piece)))

    def _with_system(self, messages: Sequence[Message]) -> list[Message]:
        system = self._settings.system
        first: list[Message] = [{"role": "system", "content": system}] if system else []
        return [*first, *messages]


def _until_all_ended(
    pieces: "queue.Queue[tuple[int, Piece]]", open_answers: int
) -> Iterator[tuple[int, Piece]]:
    while open_answers:
        number, piece = pieces.get()
        open_answers -= piece.finish is not None
        yield number, piece
