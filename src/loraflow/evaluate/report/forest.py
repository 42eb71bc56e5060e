"""A forest plot, row by row: a difference and its interval, beside the line of no difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loraflow.compare.statistics import Difference, Interval
from loraflow.evaluate.report.content import Score
from loraflow.evaluate.report.numbers import plain, signed, signed_span

_ROOM = 1.12  # from the middle to the edge, over the longest reach of an interval
_MIDDLE = 50.0  # percent from the left
_CHANCE = 0.5


@dataclass(frozen=True)
class Verdict:
    """What an interval says: a sign and a word, so that no colour is needed to read it."""

    name: str  # class of the mark
    sign: str
    word: str


BETTER = Verdict("better", "✓", "better")
WORSE = Verdict("worse", "✗", "worse")
CHANGED = Verdict("changed", "≠", "changed")
UNCLEAR = Verdict("unclear", "○", "not clear")
_RESERVED = "reserved"  # no colour


@dataclass(frozen=True)
class Mark:
    """A dot and a line, placed in percent from the left."""

    at: float
    low: float
    width: float


@dataclass(frozen=True)
class Row:
    """A score as a row of the table shows it."""

    score: Score
    verdict: Verdict | None  # None: there is no interval to judge by
    mark: Mark | None
    reach: str  # how far from the middle the edge of the plot is

    @property
    def look(self) -> str:
        """Classes of the mark: one with a reservation gets no colour."""
        name = self.verdict.name if self.verdict else UNCLEAR.name
        return f"{name} {_RESERVED}" if self.score.note else name

    @property
    def told(self) -> str:
        """The row as a sentence."""
        score, digits = self.score, self.score.digits
        parts = [f"{score.name}: base {plain(score.base.value, digits)}"]
        if score.tuned:
            parts.append(f"tuned {plain(score.tuned.value, digits)}")
        if score.difference:
            parts.append(
                f"difference {signed(score.difference.mean, digits)}, "
                f"95% interval {signed_span(score.difference, digits)}"
            )
        parts.append(f"over {score.items:,} items")
        if self.verdict:
            parts.append(self.verdict.word)
        return ", ".join([*parts, *filter(None, [score.note])])


def draw_rows(scores: Sequence[Score]) -> list[Row]:
    """Return the rows, each with a scale of its own, since their units differ."""
    return [_row(score, _reach([score])) for score in scores]


def draw_rows_alike(scores: Sequence[Score]) -> list[Row]:
    """Return the rows, all with one scale, since they have one unit."""
    reach = _reach(scores)
    return [_row(score, reach) for score in scores]


def mark_share(found: Interval) -> Mark | None:
    """Place a share between 0% at the left and 100% at the right."""
    bounds = (found.value, found.low, found.high)
    if not all(map(math.isfinite, bounds)):
        return None
    at, low, high = (100 * min(1.0, max(0.0, bound)) for bound in bounds)
    return Mark(round(at, 2), round(low, 2), round(high - low, 2))


def against_chance(found: Interval) -> Verdict:
    """Tell whether a share is more than one half, or less."""
    if found.low > _CHANCE:
        return Verdict(BETTER.name, BETTER.sign, "better than chance")
    if found.high < _CHANCE:
        return Verdict(WORSE.name, WORSE.sign, "worse than chance")
    return Verdict(UNCLEAR.name, UNCLEAR.sign, "may be chance")


def _row(score: Score, reach: float) -> Row:
    found = score.difference
    if found is None or not _is_finite(found):
        return Row(score, None, None, "")
    # what is better stands on the right, also where less of it is better
    sign = -1 if score.larger_is_better is False else 1
    at, *ends = (
        _MIDDLE * (1 + sign * value / reach) for value in (found.mean, found.low, found.high)
    )
    mark = Mark(round(at, 2), round(min(ends), 2), round(max(ends) - min(ends), 2))
    return Row(score, _verdict(score, found), mark, f"±{plain(reach, score.digits)}")


def _verdict(score: Score, found: Difference) -> Verdict:
    if not found.is_clear:
        return UNCLEAR
    if score.larger_is_better is None:
        return CHANGED
    return BETTER if (found.low > 0) == score.larger_is_better else WORSE


def _reach(scores: Sequence[Score]) -> float:
    found = [score.difference for score in scores if score.difference]
    ends = [max(abs(gap.low), abs(gap.high), abs(gap.mean)) for gap in found if _is_finite(gap)]
    return _ROOM * max(ends, default=0) or 1.0


def _is_finite(found: Difference) -> bool:
    return all(map(math.isfinite, (found.mean, found.low, found.high)))
