"""A judge that says what a function tells it to say, for tests of what is made of its judgments."""

import hashlib
from collections.abc import Callable, Sequence

from loraflow.evaluate.judge.base import Exchange, Game, Grade, Verdict


def ignore(place: int, judged: object) -> None:
    """Hear of a judgment."""


def row(name: str, question: str, answer: str) -> Exchange:
    return Exchange(name, (question,), (answer,))


class ScriptedJudge:
    """Grades by `value` of question and answer; None is a call that failed."""

    name = "scripted"
    sees_both = False

    def __init__(
        self,
        value: Callable[[str, str], float | None],
        *,
        rating: Callable[[float], float] = float,
    ) -> None:
        self._value = value
        self._rating = rating

    def prompt_name(self, exchange: Exchange | Game) -> str:
        return "single-v1"

    def prompt_hash(self, exchange: Exchange | Game) -> str:
        return hashlib.sha256(repr(exchange).encode()).hexdigest()

    def grade(
        self, exchanges: Sequence[Exchange], done: Callable[[int, Grade], None]
    ) -> list[Grade]:
        grades = [self._grade(exchange) for exchange in exchanges]
        for place, grade in enumerate(grades):
            done(place, grade)
        return grades

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        raise NotImplementedError

    def _grade(self, exchange: Exchange) -> Grade:
        raw = self._value(exchange.questions[-1], exchange.answers[-1])
        return Grade(None, None, "call") if raw is None else Grade(self._rating(raw), raw)


class FirstWins(ScriptedJudge):
    """Sees both answers and likes whichever is shown first."""

    sees_both = True

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        return [Verdict("a") for _ in games]


class LongerWins(ScriptedJudge):
    """Sees both answers and likes the longer one, wherever it stands."""

    sees_both = True

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        return [_longer(len(game.answers_a[-1]), len(game.answers_b[-1])) for game in games]


def _longer(a: int, b: int) -> Verdict:
    if a == b:
        return Verdict("tie")
    return Verdict("a" if a > b else "b")
