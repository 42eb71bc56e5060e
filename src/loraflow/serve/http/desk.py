"""Takes requests to the engine and sees them through: adapter, tokens, ticket, log, metrics."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from loraflow.config.serve import ServeConfig
from loraflow.errors import UserError
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.engine.engine import Engine, QueueFull, Stopped
from loraflow.serve.http.admission import Admission
from loraflow.serve.http.answer import Answer
from loraflow.serve.http.choice import Choice
from loraflow.serve.http.errors import (
    ClientGoneError,
    bad_request,
    stopping,
    too_busy,
    unknown_model,
)
from loraflow.serve.http.metrics import Metrics
from loraflow.serve.http.schema import ChatRequest
from loraflow.serve.http.talk import Arrival, Talk
from loraflow.serve.http.wishes import check_characters, make_wish
from loraflow.serve.names.follow import Follower
from loraflow.serve.names.names import Names, UnknownName
from loraflow.serve.traffic.log import TrafficLog

_CANCEL_SECONDS = 10  # that a cancelled answer may take to end; a step of the engine is far shorter


@dataclass(frozen=True)
class Serving:
    """What the API stands on."""

    config: ServeConfig
    engine: Engine
    names: Names
    follower: Follower | None  # None: no registry is followed
    log: TrafficLog | None  # None: nothing is kept
    key: str | None  # None: for programs of this machine alone


class Desk:
    """Where every exchange passes, those of users and those in the background."""

    def __init__(self, serving: Serving) -> None:
        """Open it with nobody in."""
        self.opened_at = time.time()
        self.config = serving.config
        self.engine = serving.engine
        self.names = serving.names
        self.follower = serving.follower
        self.log = serving.log
        self.metrics = Metrics(serving.engine, serving.names, serving.follower, serving.log)
        self.admission = Admission(serving.config.answers_at_once + serving.config.limits.queue)
        # One thread: tokenizers are not made for several, and the other cores are the engine's.
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")

    @asynccontextmanager
    async def talk(
        self,
        request: ChatRequest,
        choice: Choice,
        arrival: Arrival,
        shadow_of: str | None = None,
    ) -> AsyncIterator[Talk]:
        """Have a request answered for the time of the block; leaving it early ends the answer.

        Raises:
            ApiError: if the request cannot be answered; says why.
        """
        with ExitStack() as held:
            choice, adapter = self._lease(choice, held)
            prompt = await self._prompt(adapter, request)
            wish = make_wish(request, prompt, self.engine.context, self.config)
            wish = replace(wish, background=choice.arm == "shadow")
            answer = Answer()
            talk = Talk(request, choice, adapter, len(prompt), answer, arrival, shadow_of)
            held.enter_context(self.admission.answer(answer))
            try:
                ticket = self.engine.submit(adapter, wish, answer.receive)
            except QueueFull:
                raise too_busy() from None
            except Stopped:
                raise stopping() from None
            if self.log is not None:
                self.log.begin(talk.id)
            try:
                yield talk
            finally:
                self._note(talk)
                ticket.cancel()
                await answer.ended(_CANCEL_SECONDS)  # the adapter stays in place until then

    def close(self) -> None:
        """End the thread that tokenizes."""
        self._tokenizing.shutdown(wait=False, cancel_futures=True)

    def _lease(self, choice: Choice, held: ExitStack) -> tuple[Choice, Adapter]:
        """Keep the adapter of a name; unless both arms have one, nothing is compared."""
        if choice.arm and not self._serves_both():
            choice = replace(choice, name=choice.asked, arm="")
        try:
            return choice, held.enter_context(self.names.lease(choice.name))
        except UnknownName:
            if choice.arm not in ("control", "candidate"):
                names = [named.name for named in self.names.listed()]
                raise unknown_model(choice.name, names) from None
        return self._lease(replace(choice, name=choice.asked, arm=""), held)

    def _serves_both(self) -> bool:
        """Tell whether both arms of a split have an adapter; a missing shadow is no user's arm."""
        traffic = self.config.traffic
        served = {named.name for named in self.names.listed()}
        return traffic.mode != "split" or {traffic.control, traffic.candidate} <= served

    async def _prompt(self, adapter: Adapter, request: ChatRequest) -> list[int]:
        """Return the tokens that ask for the answer; other requests go on meanwhile."""
        check_characters(request, self.engine.context)
        work = asyncio.get_running_loop().run_in_executor(
            self._tokenizing, self.names.prompt_ids, adapter, request.conversation()
        )
        try:
            return await work
        except UserError as error:  # such as roles in an order that the template does not know
            raise bad_request(str(error), "messages", "invalid_conversation") from None

    def _note(self, talk: Talk) -> None:
        """Count and log an exchange as it is now, however it ended."""
        metrics, name = self.metrics, talk.choice.name
        metrics.answers.labels(name, talk.finish).inc()
        metrics.tokens.labels(name, "read").inc(talk.prompt_tokens)
        metrics.tokens.labels(name, "written").inc(talk.answer.tokens)
        if talk.first_token_seconds is not None:
            metrics.first_token.labels(name).observe(talk.first_token_seconds)
        if isinstance(talk.answer.hung_up, ClientGoneError):
            metrics.count_gone()
        if self.log is not None:
            self.log.add(talk.exchange())
