"""An answer in the making: written in the engine's thread, read in the event loop's."""

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from loraflow.serve.engine.wish import Piece
from loraflow.serve.http.errors import failed, stopping


@dataclass(frozen=True)
class Fresh:
    """What was written since the last look; `finish` with the last of it."""

    text: str
    finish: str | None


class Answer:
    """Joins what a slow reader has not fetched, so it never holds more than one answer's text."""

    def __init__(self) -> None:
        """Make ready to receive; to be made in the event loop's thread."""
        self.tokens = 0
        self.finish: str | None = None
        self.first_at: float | None = None  # by the clock `time.monotonic`
        self.hung_up: Exception | None = None
        self._parts: list[str] = []
        self._read = 0  # parts
        self._is_signalled = False
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def text(self) -> str:
        """All that was written so far."""
        with self._lock:
            return "".join(self._parts)

    def receive(self, piece: Piece) -> None:
        """Take what the engine has written; never waits."""
        with self._lock:
            self._parts.append(piece.text)
            self.tokens = piece.tokens
            self.finish = piece.finish
            if self.first_at is None and piece.tokens:
                self.first_at = time.monotonic()
            is_news = not self._is_signalled
            self._is_signalled = True
        with suppress(RuntimeError):  # the server has ended, and its loop is closed
            if is_news:
                self._loop.call_soon_threadsafe(self._changed.set)
            if piece.finish:
                self._loop.call_soon_threadsafe(self._ended.set)

    def hang_up(self, reason: Exception) -> None:
        """Let whoever reads get `reason` instead of what comes next."""
        self.hung_up = self.hung_up or reason
        self._changed.set()

    async def next(self) -> Fresh:
        """Wait for more, and return it.

        Raises:
            ApiError: if the engine gave up.
            Exception: what `hang_up` was told.
        """
        while True:
            await self._changed.wait()
            fresh = self._take()
            if self.hung_up:
                raise self.hung_up
            if fresh.finish in _FAULTS:
                raise _FAULTS[fresh.finish]()
            if fresh.text or fresh.finish:
                return fresh

    async def whole(self) -> None:
        """Wait for the end.

        Raises:
            ApiError, Exception: as `next` does.
        """
        while not (await self.next()).finish:
            pass

    async def ended(self, seconds: float) -> None:
        """Wait until the engine writes no more, or `seconds` have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    def _take(self) -> Fresh:
        with self._lock:
            self._is_signalled = False
            self._changed.clear()
            text = "".join(self._parts[self._read :])
            self._read = len(self._parts)
            return Fresh(text, self.finish)


_FAULTS = {"failed": failed, "cancelled": stopping}  # nobody here cancels what is still read
