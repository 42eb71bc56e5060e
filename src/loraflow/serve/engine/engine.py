"""Answers many at once, in one thread that owns the model: who comes joins the next pass."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from itertools import groupby

from torch import Tensor

from loraflow.errors import UserError
from loraflow.model.load import CausalLM, load_for_answers
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.engine.bodies import Bodies
from loraflow.serve.engine.forward import Segment, prepare, run_pass
from loraflow.serve.engine.memory import Memory, layers_of
from loraflow.serve.engine.remembered import Remembered
from loraflow.serve.engine.text import TextStream
from loraflow.serve.engine.threads import Threads, Trial
from loraflow.serve.engine.wish import Receive, Wish
from loraflow.serve.engine.writing import Writing

log = logging.getLogger(__name__)

_PASS_TOKENS = 256  # of prompts in one pass: longer ones are read in parts, while others go on


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
        self.context = int(causal_lm.config.get_text_config().max_position_embeddings)
        self._layers = layers_of(causal_lm)
        self._threads = Threads(self._trial(causal_lm), causal_lm.device)
        self._bodies = Bodies(causal_lm)
        self._stop = stop_tokens(base, self.tokenizer)
        self._remembered = Remembered()
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
            if len(self._waiting) + len(self._background) >= self._queue:
                raise QueueFull(f"{self._queue} requests wait already; try again later")
            (self._background if wish.background else self._waiting).append(writing)
            self._changed.notify()
        return Ticket(writing, self._wake)

    def load(self, adapter: Adapter) -> None:
        """Attach an adapter between two passes, and return when it is there.

        Raises:
            UserError: if it does not belong on this base.
        """
        self._bodies.try_on(adapter)
        self._do(lambda: self._bodies.load(adapter))

    def unload(self, digest: str) -> None:
        """Detach an adapter that no answer uses any more."""

        def unload() -> None:
            self._bodies.unload(digest)
            self._remembered.forget(digest)

        self._do(unload)

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

    def _trial(self, causal_lm: CausalLM) -> Trial:
        return lambda sizes: run_pass(
            causal_lm, [Segment(Memory(self._layers), [0] * size) for size in sizes]
        )

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
        """Have every body run once, with a part of what is new to each of its answers."""
        room = _PASS_TOKENS
        for body_id, group in groupby(sorted(self._active, key=self._body_id), self._body_id):
            del body_id
            parts = []
            for writing in group:
                part = self._part(writing, room)
                room -= len(part) if len(part) > 1 else 0
                if part:
                    parts.append((writing, part))
            if parts:
                self._run_parts(parts)

    def _body_id(self, writing: Writing) -> int:
        return id(self._bodies.body(writing.digest))

    def _part(self, writing: Writing, room: int) -> list[int]:
        """Return the next tokens that the model reads of an answer; of a prompt, `room` at most."""
        if writing.memory is None:
            writing.memory = self._remembered.begin(writing.digest, writing.wish.prompt)
            writing.memory = writing.memory or Memory(self._layers)
        unread = writing.unread
        return unread if len(unread) == 1 else unread[: max(room, 0)]

    def _run_parts(self, parts: list[tuple[Writing, list[int]]]) -> None:
        writings = [writing for writing, _ in parts]
        segments = [Segment(writing.memory, part) for writing, part in parts if writing.memory]
        names = [self._bodies.row_name(writing.digest) for writing in writings]
        try:
            with self._threads.of(sum(len(part) for _, part in parts)):
                logits = self._bodies.body(writings[0].digest).run(segments, names)
        except Exception:
            log.exception("a pass over %d answers failed; they end here", len(parts))
            self._finish(writings, lambda writing: writing.give_up("failed"))
            return
        rows = zip(writings, logits, strict=True)
        whole = [(writing, row) for writing, row in rows if not writing.unread]
        ended = [writing for writing, row in whole if self._write(writing, row)]
        self._finish(ended, self._remember)

    def _write(self, writing: Writing, logits: Tensor) -> bool:
        try:
            return writing.write(logits, self._stop)
        except RuntimeError:  # nothing can be drawn from what a broken adapter puts out
            log.exception("an answer failed; it ends here")
            writing.give_up("failed")
            return True

    def _finish(self, writings: list[Writing], last: Callable[[Writing], None]) -> None:
        for writing in writings:
            last(writing)
            with self._changed:
                self._active.remove(writing)

    def _remember(self, writing: Writing) -> None:
        if writing.memory is not None:
            tokens = [*writing.wish.prompt, *writing.tokens]
            self._remembered.keep(writing.digest, tokens, writing.memory)

    def _end_all(self) -> None:
        """Leave nobody waiting, however the thread ends."""
        with self._changed:
            self._closed = True
            self._drop(lambda _: True)
            errands = [*self._errands]
        for errand in errands:
            errand()
