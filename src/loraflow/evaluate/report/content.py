"""What the evaluation report shows; the stages' results are brought into this form.

An arm is "base" or "tuned". A page of one arm has None, or no entry, where the tuned one would be.
Every sequence may be empty: its section is left out. Texts may hold anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loraflow.compare.statistics import Difference, Interval

ARMS = ("base", "tuned")


@dataclass(frozen=True)
class Score:
    """One number of both arms."""

    name: str
    meaning: str  # one line
    larger_is_better: bool | None  # None: neither is
    base: Interval
    tuned: Interval | None
    difference: Difference | None  # tuned - base. None: it has no interval
    note: str = ""  # a reservation ("untrusted judge"), which marks the score
    digits: int = 3  # behind the point
    items: int = field(kw_only=True)


@dataclass(frozen=True)
class Turn:
    """A question of a conversation, what each arm answered, and what the judge said to it."""

    question: str
    reference: str
    answers: Mapping[str, str | None]  # by arm; None: it failed
    ratings: Mapping[str, float | None]  # 1 to 10. None: there is none
    judgments: Mapping[str, str]  # in the judge's words


@dataclass(frozen=True)
class Conversation:
    """A question of MT-Bench with its turns."""

    id: str
    category: str
    turns: Sequence[Turn]


@dataclass(frozen=True)
class Bench:
    """MT-Bench by one judge; ratings are from 1 to 10."""

    judge: str
    trusted: bool
    questions: int
    overall: Sequence[Score] = ()  # average, turn 1, turn 2
    categories: Sequence[Score] = ()
    failures: Sequence[tuple[str, int, str]] = ()  # arm, how many, what failed
    pairs: Sequence[tuple[str, Interval]] = ()  # shares: win rate, loss rate, position flip rate
    conversations: Sequence[Conversation] = ()


@dataclass(frozen=True)
class JudgeCard:
    """What is known of a judge."""

    name: str
    trusted: bool
    sentences: Sequence[str]
    kinds: Sequence[tuple[str, str, Interval, int]]  # of damage: name, meaning, accuracy, pairs
    pooled: Interval | None  # accuracy over all kinds. None: nothing could be compared
    figures: Sequence[tuple[str, str]] = ()  # flip rate, length bias, failures, as text
    examples: Sequence[tuple[str, str, str, float, float]] = ()
    """Question, genuine answer, spoilt answer, and the ratings of the two."""


@dataclass(frozen=True)
class Item:
    """A held-out row, what each arm made of it, and how well."""

    id: str
    prompt: str
    reference: str
    answers: Mapping[str, str]  # by arm
    scores: Mapping[str, tuple[float, float | None]]  # by metric: base, tuned
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Sample:
    """A prompt of the user's own, which has no right answer."""

    prompt: str
    answers: Mapping[str, str]  # by arm


@dataclass(frozen=True)
class EvaluationPage:
    """One evaluation, of one arm or of both."""

    title: str
    facts: Sequence[tuple[str, str]] = ()  # name and value: model, data, seed
    findings: Sequence[str] = ()  # sentences: what is better, what is not, what cannot be told
    scores: Sequence[Score] = ()
    probes: Sequence[Score] = ()  # what the base model could do before, by kind
    bench: Bench | None = None
    cards: Sequence[JudgeCard] = ()
    items: Sequence[Item] = ()
    prompts: Sequence[Sample] = ()
