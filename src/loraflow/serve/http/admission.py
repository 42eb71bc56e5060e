"""Who is in: requests from their first byte to their answer's last, and whether more may come."""

from collections.abc import Iterator
from contextlib import contextmanager

from loraflow.serve.http.answer import Answer
from loraflow.serve.http.errors import stopping, too_busy


class Admission:
    """Bounds the requests that are open at once. To be used in the event loop's thread only."""

    def __init__(self, most: int) -> None:
        """Let in `most` at once: as many as are answered and may wait."""
        self._most = most
        self._answers: set[Answer] = set()
        self.open = 0
        self.is_stopping = False
        self._has_ended = False

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request in for the time of the block.

        Raises:
            ApiError: if too many are in.
        """
        if self.open >= self._most:
            raise too_busy()
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    @contextmanager
    def answer(self, answer: Answer) -> Iterator[None]:
        """Let `end` reach an answer for the time of the block."""
        if self._has_ended:
            answer.hang_up(stopping())
        self._answers.add(answer)
        try:
            yield
        finally:
            self._answers.discard(answer)

    def end(self) -> None:
        """Break off what is still being answered, and say why."""
        self.is_stopping = self._has_ended = True
        for answer in self._answers:
            answer.hang_up(stopping())
