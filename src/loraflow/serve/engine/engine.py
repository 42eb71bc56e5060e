"""Answers many at once, in one thread that owns the model: who comes joins the next pass."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from loraflow.errors import UserError
from loraflow.model.load import CausalLM, load_for_answers
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.engine.forward import context_of, prepare
from loraflow.serve.engine.passes import Passes
from loraflow.serve.engine.text import TextStream
from loraflow.serve.engine.wish import Receive, Wish
from loraflow.serve.engine.writing import Writing


class QueueFull(UserError):
    """As many requests wait as may."""


class Stopped(UserError):
    """The engine answers no more."""


class Ticket:
    """An answer that was asked for."""

    def __init__(self, writing: Writing, wake: Callable[[], None]) -> None:
        """Belong to a writing of the engine."""
        self._writing = writing
        self._wake = wake

    def cancel(self) -> None:
        """Have the answer end before the next pass; once it has ended, do nothing."""
        self._writing.cancelled = True
        self._wake()


class Engine:
    """A base model that answers with any of the adapters that were loaded."""

    def __init__(self, base: BaseModel, *, answers_at_once: int, queue: int) -> None:
        """Load the base and begin to wait for wishes.

        Raises:
            UserError: if the model cannot be served here.
        """
        self.base = base
        self.tokenizer = load_tokenizer(base)
        causal_lm: CausalLM = load_for_answers(base, None)
        prepare(causal_lm)
        self.context = context_of(causal_lm)
        self._passes = Passes(causal_lm, stop_tokens(base, self.tokenizer))
        self._at_once, self._queue = answers_at_once, queue
        self._waiting: deque[Writing] = deque()
        self._background: deque[Writing] = deque()
        self._active: list[Writing] = []
        self._errands: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, adapter: Adapter, wish: Wish, receive: Receive) -> Ticket:
        """Ask for an answer, which `receive` gets in pieces, in the engine's thread.

        Raises:
            QueueFull: if too many wait already.
            Stopped: if the engine is closed.
        """
        writing = Writing(wish, adapter.digest, receive, TextStream(self.tokenizer, wish.stop))
        with self._changed:
            self._require_open()
            taken = len(self._active) + len(self._waiting) + len(self._background)
            if taken >= self._at_once + self._queue:
                raise QueueFull(f"{self._queue} requests wait already; try again later")
            (self._background if wish.background else self._waiting).append(writing)
            self._changed.notify()
        return Ticket(writing, self._wake)

    def load(self, adapter: Adapter) -> None:
        """Attach an adapter between two passes, and return when it is there.

        Raises:
            UserError: if it does not belong on this base.
        """
        self._passes.bodies.try_on(adapter)
        self._do(lambda: self._passes.bodies.load(adapter))

    def unload(self, digest: str) -> None:
        """Detach an adapter that no answer uses any more."""
        self._do(lambda: self._passes.unload(digest))

    def counts(self) -> tuple[int, int]:
        """Return how many answers are being written, and how many wait."""
        with self._changed:
            return len(self._active), len(self._waiting) + len(self._background)

    @property
    def is_open(self) -> bool:
        """Tell whether the engine answers."""
        return not self._closed

    def close(self) -> None:
        """End all answers, and the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _do(self, work: Callable[[], None]) -> None:
        """Have the engine's thread do something, and wait for it."""
        done: Future[None] = Future()

        def errand() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - theirs who asked for it
                done.set_exception(error)
            else:
                done.set_result(None)

        with self._changed:
            self._require_open()
            self._errands.append(errand)
            self._changed.notify()
        done.result()

    def _require_open(self) -> None:
        if self._closed:
            raise Stopped("the server stops; try again later")

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        try:
            while not self._closed:
                self._prepare_pass()
                if self._active:
                    self._pass()
        finally:
            self._end_all()

    def _prepare_pass(self) -> None:
        """Wait until there is something to do, run errands, and seat those who wait."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._errands or self._active or self._someone_waits()
            )
            errands = [*self._errands]
            self._errands.clear()
        for errand in errands:
            errand()
        with self._changed:
            for queue in (self._waiting, self._background):
                while queue and len(self._active) < self._at_once:
                    self._active.append(queue.popleft())
            self._drop(lambda writing: writing.cancelled)

    def _someone_waits(self) -> bool:
        return bool(self._waiting or self._background)

    def _drop(self, is_over: Callable[[Writing], bool]) -> None:
        """Take cancelled answers off the active and the waiting ones."""
        for writings in (self._active, self._waiting, self._background):
            for writing in [writing for writing in writings if is_over(writing)]:
                writings.remove(writing)
                writing.give_up("cancelled")

    def _pass(self) -> None:
        """Let every answer go on, and take off those that have ended."""
        for writing in self._passes.run([*self._active]):
            with self._changed:
                self._active.remove(writing)

    def _end_all(self) -> None:
        """Leave nobody waiting, however the thread ends."""
        with self._changed:
            self._closed = True
            self._drop(lambda _: True)
            errands = [*self._errands]
        for errand in errands:
            errand()
