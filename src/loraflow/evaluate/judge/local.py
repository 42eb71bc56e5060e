"""A judge on this machine: a language model whose probabilities are read, not its words."""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, Protocol

from loraflow.evaluate.judge.base import Exchange, Game, Grade, Verdict
from loraflow.evaluate.judge.chat_tokens import Asked, ChatTokens
from loraflow.evaluate.judge.expected_rating import ExpectedRating
from loraflow.evaluate.judge.information import Information
from loraflow.evaluate.judge.prompts import Prompts, prompt_name
from loraflow.evaluate.judge.scale import Scale
from loraflow.model.load import CausalLM
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer

log = logging.getLogger(__name__)

Reading = Literal["rating", "information"]

_VERSION = 2  # raise it when a reading changes
_EQUAL = 1e-4  # raw values so close are a tie: batches of other shapes round otherwise
NO_ROOM = "the answer leaves no room for its question in the judge's window"


class _Reader(Protocol):
    def prepare(self, exchange: Exchange) -> Asked: ...
    def measure(self, batch: Sequence[Asked]) -> list[float]: ...


class LocalJudge:
    """Reads how a model values an answer; a game is decided by the values of its two answers."""

    def __init__(  # noqa: PLR0913 - a judge names all that its judgments depend on
        self,
        model: CausalLM,
        tokenizer: Tokenizer,
        base: BaseModel,
        *,
        reading: Reading,
        batch_size: int,
        scale: Scale | None,
        name: str,
        prompts: Prompts,
    ) -> None:
        """Make ready to judge with a loaded model.

        Args:
            model: of `base`, in eval mode
            tokenizer: of `base`
            base: what the model was loaded from; its revision names it in `prompt_hash`
            reading: `rating`, the expected rating; `information`, what question and answer say of
                each other
            batch_size: answers at a time
            scale: from information to ratings, of the judge's card; without it `grade` raises.
                `Scale.neutral()` will do to make the card
            name: what files and reports call the judge
            prompts: what `rating` asks with
        """
        window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        chat = ChatTokens(tokenizer, base)
        readers: Mapping[Reading, Callable[[], _Reader]] = {
            "rating": lambda: ExpectedRating(model, chat, window, prompts),
            "information": lambda: Information(model, chat, window),
        }
        self._reader = readers[reading]()
        self._chat = chat
        self._base = base
        self._reading = reading
        self._batch_size = batch_size
        self._scale = scale
        self._name = name
        self._prompts = prompts
        self._questions_cut = 0

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    @property
    def sees_both(self) -> bool:
        """Each answer is read by itself."""
        return False

    @property
    def questions_cut(self) -> int:
        """How many questions lost their beginning so far, since they were longer than the window.

        An answer is never cut: one that leaves no room for its question is a failure.
        """
        return self._questions_cut

    def prompt_name(self, exchange: Exchange | Game) -> str:
        """Name the prompt of a single answer; reading information asks with none."""
        return "information" if self._reading == "information" else prompt_name(_first(exchange))

    def prompt_hash(self, exchange: Exchange | Game) -> str:
        """Name what the model is shown, the model's weights, and how it is read."""
        shown: Any = [exchange.questions, _answers(exchange)]
        if self._reading == "rating":
            prompt = self._prompts[prompt_name(_first(exchange))].as_dict()
            shown += [exchange.references, prompt]
        model = [self._base.revision, asdict(self._base.quantization)]
        scale = None if self._scale is None else self._scale.as_dict()
        known = json.dumps([_VERSION, self._reading, shown, model, scale])
        return hashlib.sha256(known.encode()).hexdigest()

    def grade(
        self, exchanges: Sequence[Exchange], done: Callable[[int, Grade], None]
    ) -> list[Grade]:
        """Grade each, in batches of like length.

        Raises:
            ValueError: for the reading `information` without a scale.
        """
        if self._reading == "information" and self._scale is None:
            raise ValueError("reading information needs a scale for ratings: make the card first")
        grades: dict[int, Grade] = {}

        def heard(place: int, asked: Asked, raw: float | None) -> None:
            grades[place] = self._grade(asked, raw)
            done(place, grades[place])

        self._measure(exchanges, heard)
        return [grades[place] for place in range(len(exchanges))]

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        """Let the answer with the higher raw value win; no scale is needed."""
        exchanges = [exchange for game in games for exchange in _exchanges(game)]
        known: dict[int, tuple[Asked, float | None]] = {}
        verdicts: dict[int, Verdict] = {}

        def heard(place: int, asked: Asked, raw: float | None) -> None:
            known[place] = asked, raw
            first = place - place % 2
            if first in known and first + 1 in known:
                verdicts[first // 2] = self._verdict(known[first], known[first + 1])
                done(first // 2, verdicts[first // 2])

        self._measure(exchanges, heard)
        return [verdicts[place] for place in range(len(games))]

    def _measure(
        self,
        exchanges: Sequence[Exchange],
        heard: Callable[[int, Asked, float | None], None],
    ) -> None:
        """Tell of each exchange's raw value as soon as it is there; None: it does not fit."""
        asked = [self._reader.prepare(exchange) for exchange in exchanges]
        self._count_cut(asked)
        for place in [place for place, one in enumerate(asked) if not one.fits]:
            heard(place, asked[place], None)
        fitting = [place for place, one in enumerate(asked) if one.fits]
        # little padding, and answers to one question together
        order = sorted(fitting, key=lambda place: (len(asked[place].context), asked[place].context))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            values = self._reader.measure([asked[place] for place in batch])
            for place, raw in zip(batch, values, strict=True):
                heard(place, asked[place], raw)

    def _count_cut(self, asked: Sequence[Asked]) -> None:
        cut = sum(one.cut for one in asked)
        self._questions_cut += cut
        if cut:
            log.warning("judge: %d of %d questions cut to its window", cut, len(asked))

    def _grade(self, asked: Asked, raw: float | None) -> Grade:
        prompt = self._chat.text(asked.context)
        if raw is None:
            return Grade(None, None, "call", NO_ROOM, prompt)
        rating = self._scale.rating(raw) if self._reading == "information" and self._scale else raw
        return Grade(rating, raw, prompt=prompt)

    def _verdict(
        self, first: tuple[Asked, float | None], second: tuple[Asked, float | None]
    ) -> Verdict:
        (asked, raw_a), (_, raw_b) = first, second
        prompt = self._chat.text(asked.context)
        if raw_a is None or raw_b is None:
            return Verdict(None, "call", NO_ROOM, prompt)
        values = f"a: {raw_a:.4f}, b: {raw_b:.4f}"
        if math.isclose(raw_a, raw_b, rel_tol=1e-6, abs_tol=_EQUAL):
            return Verdict("tie", "", values, prompt)
        return Verdict("a" if raw_a > raw_b else "b", "", values, prompt)


def _exchanges(game: Game) -> list[Exchange]:
    return [
        Exchange(game.id, game.questions, answers, game.references)
        for answers in (game.answers_a, game.answers_b)
    ]


def _first(judged: Exchange | Game) -> Exchange:
    return _exchanges(judged)[0] if isinstance(judged, Game) else judged


def _answers(judged: Exchange | Game) -> list[tuple[str, ...]]:
    if isinstance(judged, Game):
        return [judged.answers_a, judged.answers_b]
    return [judged.answers]
