"""A judge that says what a test tells it to, and questions and answers for it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from loraflow.evaluate.judge.base import Exchange, Game, Grade, Verdict
from loraflow.evaluate.mt_bench.answers import ModelAnswers
from loraflow.evaluate.mt_bench.questions import Question

Asked = TypeVar("Asked", Exchange, Game)
Reply = TypeVar("Reply", Grade, Verdict)

QUESTIONS = [
    Question(1, "writing", ("q1-1", "q1-2")),
    Question(2, "math", ("q2-1", "q2-2"), ("r2-1", "r2-2")),
    Question(3, "extraction", ("q3-1",), ("r3-1",)),
]


def answered(model: str, *, without: tuple[int, ...] = ()) -> ModelAnswers:
    """Return answers such as "base 1-2" to QUESTIONS, to question 1 turn 2."""
    return ModelAnswers(
        model,
        {
            question.id: tuple(
                f"{model} {question.id}-{turn + 1}" for turn in range(len(question.turns))
            )
            for question in QUESTIONS
            if question.id not in without
        },
    )


def five(_: Exchange) -> Grade:
    """Rate everything 5."""
    return Grade(5.0, 5.0, judgment="so so [[5]]", prompt="rate")


def prefer_longer(game: Game) -> Verdict:
    """Let the longer last answer win."""
    a, b = len(game.answers_a[-1]), len(game.answers_b[-1])
    if a == b:
        return Verdict("tie")
    return Verdict("a" if a > b else "b", judgment="longer", prompt=" ".join(game.answers_a))


@dataclass
class ScriptedJudge:
    """Replies by two functions, and may be killed after some replies."""

    rate: Callable[[Exchange], Grade] = five
    decide: Callable[[Game], Verdict] = prefer_longer
    sees_both: bool = True
    name: str = "scripted"
    killed_after: int = 1_000_000
    asked: list[Exchange | Game] = field(default_factory=list)

    def prompt_name(self, exchange: Exchange | Game) -> str:
        kind = "single" if isinstance(exchange, Exchange) else "pair"
        guide = "-math" if exchange.references else ""
        return f"{kind}{guide}-v1" + ("-multi-turn" if len(exchange.questions) > 1 else "")

    def prompt_hash(self, exchange: Exchange | Game) -> str:
        return hashlib.sha256(repr(exchange).encode()).hexdigest()

    def grade(
        self, exchanges: Sequence[Exchange], done: Callable[[int, Grade], None]
    ) -> list[Grade]:
        return self._reply(exchanges, done, self.rate)

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        return self._reply(games, done, self.decide)

    def _reply(
        self,
        asked: Sequence[Asked],
        done: Callable[[int, Reply], None],
        reply: Callable[[Asked], Reply],
    ) -> list[Reply]:
        replies: dict[int, Reply] = {}
        for place in reversed(range(len(asked))):  # a judge may reply in any order
            if len(replies) == self.killed_after:
                raise KeyboardInterrupt
            self.asked.append(asked[place])
            replies[place] = reply(asked[place])
            done(place, replies[place])
        return [replies[place] for place in range(len(asked))]
