"""What every judge takes and gives: conversations in; grades, verdicts or failures out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Failure = Literal["", "call", "format"]
"""Nothing; no answer from the judge after all retries; an answer that holds no rating."""


@dataclass(frozen=True)
class Exchange:
    """Questions and answers in turn; the last answer is the one that is judged."""

    id: str  # of the question
    questions: tuple[str, ...]
    answers: tuple[str, ...]  # one a question
    references: tuple[str, ...] = ()  # right answers, one a question; empty: judged without them


@dataclass(frozen=True)
class Grade:
    """What a judge says of one answer. A failure has no rating: it is counted, never scored."""

    rating: float | None  # 1 to 10
    raw: float | None  # in the judge's own unit: nats of information; else the rating itself
    failure: Failure = ""
    judgment: str = ""  # what the judge wrote, word for word
    prompt: str = ""  # what it was asked


@dataclass(frozen=True)
class Game:
    """Two answers to the same questions; `a` is shown first."""

    id: str
    questions: tuple[str, ...]
    answers_a: tuple[str, ...]
    answers_b: tuple[str, ...]
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Which answer of a game is better."""

    winner: Literal["a", "b", "tie"] | None  # None: a failure
    failure: Failure = ""
    judgment: str = ""
    prompt: str = ""


class Judge(Protocol):
    """Grades answers one by one, and compares two. The order of what is given changes nothing."""

    @property
    def name(self) -> str:
        """What files and reports call it."""

    @property
    def sees_both(self) -> bool:
        """Tell whether a game is read as a whole, so that the order of answers can matter."""

    def prompt_name(self, exchange: Exchange | Game) -> str:
        """Name the prompt as FastChat does: single-v1, pair-math-v1-multi-turn and so on."""

    def prompt_hash(self, exchange: Exchange | Game) -> str:
        """Name all that the judgment depends on, beside the judge itself, by its digest."""

    def grade(
        self, exchanges: Sequence[Exchange], done: Callable[[int, Grade], None]
    ) -> list[Grade]:
        """Grade each; `done` hears of every grade with its place, as soon as it is there."""

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        """Say who wins each game; `done` as in `grade`."""
