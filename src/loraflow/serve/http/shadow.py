"""The candidate's answers to what the control was asked, in the background; no user sees them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from loraflow.serve.http.answer import Answer
from loraflow.serve.http.desk import Desk
from loraflow.serve.http.errors import ApiError
from loraflow.serve.http.talk import Arrival, Talk

_LOOK_SECONDS = 0.05  # between two looks at whether users wait

_log = logging.getLogger(__name__)


class _PushedAsideError(Exception):
    """Users wait, so a shadow makes room."""


class Shadows:
    """Answers one by one, after the user's, while nobody waits; what is too much is dropped."""

    def __init__(self, desk: Desk) -> None:
        """Begin with none; `run` answers them."""
        self._desk = desk
        self._half = max(1, desk.config.limits.queue // 2)
        self._waiting: asyncio.Queue[Talk] = asyncio.Queue(self._half)

    def offer(self, talk: Talk) -> None:
        """Remember an exchange to be answered by the candidate too, if it is one to compare."""
        is_shadowed = self._desk.config.traffic.mode == "shadow" and talk.choice.arm == "control"
        if not is_shadowed or talk.finish not in ("stop", "length"):
            return
        if (
            self._waiting_now() > self._half
            or self._waiting.full()
            or self._desk.admission.is_stopping
        ):
            self._count("dropped")
        else:
            self._waiting.put_nowait(talk)

    async def run(self) -> None:
        """Answer what was offered, until this is cancelled."""
        while True:
            talk = await self._waiting.get()
            while self._waiting_now():
                await asyncio.sleep(_LOOK_SECONDS)
            self._count(await self._answer(talk))

    async def _answer(self, seen: Talk) -> str:
        """Have the candidate answer; return how that ended."""
        name = self._desk.config.traffic.candidate
        choice = replace(seen.choice, name=name, arm="shadow")
        try:
            async with (
                asyncio.timeout(self._desk.config.limits.seconds),
                self._desk.talk(seen.request, choice, Arrival(), shadow_of=seen.id) as talk,
                self._giving_way(talk.answer),
            ):
                await talk.answer.whole()
        except _PushedAsideError:
            return "dropped"
        except (ApiError, TimeoutError) as error:  # no candidate now, or it could not answer
            _log.info("shadow of %s: %s", seen.id, error)
            return "failed"
        except Exception:  # noqa: BLE001 - a bug in one answer must not end those to come
            _log.exception("shadow of %s", seen.id)
            return "failed"
        return "answered"

    @asynccontextmanager
    async def _giving_way(self, answer: Answer) -> AsyncIterator[None]:
        """Break the answer off as soon as users wait for its place."""

        async def watch() -> None:
            # While it waits for its turn in the engine, it is one of those who wait.
            while self._waiting_now() <= (0 if answer.tokens else self._half):
                await asyncio.sleep(_LOOK_SECONDS)
            answer.hang_up(_PushedAsideError())

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()

    def _waiting_now(self) -> int:
        return self._desk.engine.counts()[1]

    def _count(self, outcome: str) -> None:
        self._desk.metrics.shadows.labels(outcome).inc()
