"""Long lists of the report: what the script needs to filter, sort and page them, as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loraflow.evaluate.report.content import ARMS, Conversation, Item, Score

Pair = tuple[float | None, float | None]  # base, tuned

_AVERAGE = "average"
_HARMLESS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}  # within a script


@dataclass(frozen=True)
class Metric:
    """A number that a list can be sorted by."""

    name: str
    larger_is_better: bool | None
    digits: int
    note: str = ""  # a reservation


@dataclass(frozen=True)
class Listing:
    """The numbers of a list, row by row."""

    metrics: Sequence[Metric]
    scores: Sequence[Sequence[Pair]]  # of each row, in the order of the metrics
    groups: Sequence[str]  # of each row: what it can be filtered by; empty: nothing

    @property
    def is_paired(self) -> bool:
        """Tell whether there is a tuned arm to compare with."""
        return any(tuned is not None for row in self.scores for _, tuned in row)

    @property
    def choices(self) -> list[str]:
        """The groups, each once, in the order in which they come."""
        return list(dict.fromkeys(self.groups))

    @property
    def data(self) -> Markup:
        """JSON that can stand in a script element."""
        content = {
            "metrics": [
                {"name": metric.name, "larger": metric.larger_is_better} for metric in self.metrics
            ],
            "paired": self.is_paired,
            "scores": [[[_json(value) for value in pair] for pair in row] for row in self.scores],
            "groups": [self.choices.index(group) for group in self.groups],
        }
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
        return Markup(text.translate(_HARMLESS))


def list_items(items: Sequence[Item], scores: Sequence[Score]) -> Listing:
    """Return the items' numbers, each metric as the score of its name has it."""
    known = {score.name: score for score in scores}
    names = list(dict.fromkeys(name for item in items for name in item.scores))
    metrics = [_metric(name, known.get(name)) for name in names]
    rows = [[item.scores.get(name, (None, None)) for name in names] for item in items]
    return Listing(metrics, rows, ())


def list_conversations(conversations: Sequence[Conversation]) -> Listing:
    """Return the ratings of conversations: their average, and turn by turn."""
    turns = max((len(conversation.turns) for conversation in conversations), default=0)
    names = [_AVERAGE, *(f"turn {number + 1}" for number in range(turns))]
    return Listing(
        [Metric(name, True, 1) for name in names],
        [_ratings(conversation, turns) for conversation in conversations],
        [conversation.category for conversation in conversations],
    )


def _metric(name: str, score: Score | None) -> Metric:
    if score is None:
        return Metric(name, None, 3)
    return Metric(name, score.larger_is_better, score.digits, score.note)


def _ratings(conversation: Conversation, turns: int) -> list[Pair]:
    found: list[Mapping[str, float | None]] = [turn.ratings for turn in conversation.turns]
    by_turn: list[Pair] = [(ratings.get("base"), ratings.get("tuned")) for ratings in found]
    by_turn += [(None, None)] * (turns - len(by_turn))
    base, tuned = (_mean([ratings.get(arm) for ratings in found]) for arm in ARMS)
    return [(base, tuned), *by_turn]


def _mean(ratings: Sequence[float | None]) -> float | None:
    """Return the mean of ratings, all of which must be there: half a conversation is another."""
    known = [rating for rating in ratings if rating is not None]
    return sum(known) / len(known) if known and len(known) == len(ratings) else None


def _json(value: float | None) -> float | None:
    return round(value, 6) if value is not None and math.isfinite(value) else None
