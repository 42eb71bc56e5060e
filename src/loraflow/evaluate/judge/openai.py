"""A judge behind any OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, transformers serve."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from threading import Event
from typing import Generic, TypeVar

from loraflow.config import ApiConfig
from loraflow.evaluate.judge.base import Exchange, Failure, Game, Grade, Verdict
from loraflow.evaluate.judge.endpoint import CallFailedError, Endpoint, Usage
from loraflow.evaluate.judge.prompts import Prompts, prompt_name
from loraflow.evaluate.judge.ratings import Winner, parse_rating, parse_verdict

_READING = 1  # raise it when a reply is read otherwise
_RATING_ASKED = 'End with your rating from 1 to 10 in exactly this form: "Rating: [[n]]".'
_VERDICT_ASKED = 'End with your verdict, which is exactly "[[A]]", "[[B]]" or "[[C]]".'

_Judged = TypeVar("_Judged", Exchange, Game)
_Result = TypeVar("_Result", Grade, Verdict)
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class _Reply(Generic[_Value]):
    value: _Value | None
    failure: Failure
    judgment: str
    prompt: str


class OpenAIJudge:
    """Asks a model for ratings and verdicts. It sees both answers of a game."""

    def __init__(self, settings: ApiConfig, prompts: Prompts) -> None:
        """Make ready to ask; nothing is sent.

        Raises:
            UserError: for a key or an address that cannot be right.
        """
        self._settings = settings
        self._prompts = prompts
        self._endpoint = Endpoint(settings)

    @property
    def name(self) -> str:
        """The model's."""
        return self._settings.model

    @property
    def sees_both(self) -> bool:
        """A game is one question, so the order of its answers can matter."""
        return True

    @property
    def usage(self) -> Usage:
        """Requests, tokens and cost so far."""
        return self._endpoint.usage

    def prompt_name(self, exchange: Exchange | Game) -> str:
        """Name the prompt that asks about this."""
        return prompt_name(exchange)

    def prompt_hash(self, exchange: Exchange | Game) -> str:
        """Name what is asked, word for word, and how the reply is read."""
        asked = self._prompts[prompt_name(exchange)].render(exchange)
        known = [_READING, *asked, self._settings.max_tokens, _RATING_ASKED, _VERDICT_ASKED]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    def grade(
        self, exchanges: Sequence[Exchange], done: Callable[[int, Grade], None]
    ) -> list[Grade]:
        """Grade each; several at a time.

        Raises:
            UserError: for what every call would meet: a refused key, an unknown model.
        """
        return self._spread(self._grade, exchanges, done)

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        """Say who wins each game; several at a time. Raises as `grade`."""
        return self._spread(self._play, games, done)

    def _spread(
        self,
        work: Callable[[_Judged, Event], _Result],
        items: Sequence[_Judged],
        done: Callable[[int, _Result], None],
    ) -> list[_Result]:
        """Work on all with a pool of threads; `done` is called in this one."""
        results: dict[int, _Result] = {}
        stop = Event()

        def one(place: int) -> tuple[int, _Result]:
            return place, work(items[place], stop)

        # Its threads do not outlive the program: Ctrl-C waits for no call.
        with ThreadPool(self._settings.concurrency) as pool:
            try:
                for place, result in pool.imap_unordered(one, range(len(items))):
                    results[place] = result
                    done(place, result)
            finally:
                stop.set()
        return [results[place] for place in range(len(items))]

    def _grade(self, exchange: Exchange, stop: Event) -> Grade:
        reply = self._ask(exchange, parse_rating, _RATING_ASKED, stop)
        return Grade(reply.value, reply.value, reply.failure, reply.judgment, reply.prompt)

    def _play(self, game: Game, stop: Event) -> Verdict:
        reply: _Reply[Winner] = self._ask(game, parse_verdict, _VERDICT_ASKED, stop)
        return Verdict(reply.value, reply.failure, reply.judgment, reply.prompt)

    def _ask(
        self,
        judged: Exchange | Game,
        parse: Callable[[str], _Value | None],
        reminder: str,
        stop: Event,
    ) -> _Reply[_Value]:
        """Ask, and once more with a reminder of the format if the reply cannot be read."""
        system, user = self._prompts[prompt_name(judged)].render(judged)
        said = shown = ""
        for question in (user, f"{user}\n\n{reminder}"):
            shown = f"{system}\n\n{question}".lstrip()
            try:
                said = self._endpoint.ask(system, question, stop)
            except CallFailedError as error:
                return _Reply(None, "call", str(error), shown)
            value = parse(said)
            if value is not None:
                return _Reply(value, "", said, shown)
        return _Reply(None, "format", said, shown)
