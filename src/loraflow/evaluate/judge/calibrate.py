"""Finds out what a judge can see, on answers that were spoilt in known ways."""

import random
from collections.abc import Iterable, Mapping, Sequence
from math import log2

from loraflow.compare.statistics import Interval, clustered_share, share_interval
from loraflow.evaluate.judge.base import Exchange, Game, Grade, Judge, Verdict
from loraflow.evaluate.judge.card import Card, Consistency, Counted, Flips, KindResult
from loraflow.evaluate.judge.estimates import slope
from loraflow.evaluate.judge.scale import Scale
from loraflow.evaluate.judge.spoil import KINDS, Pair, spoil

_GAMES = 40  # at most, each played in both orders
_REPEATED_ROWS = 10
_SAME = 0.005  # ratings that agree to two decimals

Grades = Mapping[Exchange, Grade]
Played = tuple[Exchange, Verdict, Verdict]  # a row, its verdict in either order


def make_card(judge: Judge, rows: Sequence[Exchange], *, seed: int, repeats: int) -> Card:
    """Measure a judge on genuine answers and on spoilt ones.

    A judge whose raw values are no ratings gets a scale fitted to the same pairs; ratings on the
    card are on that scale.

    Args:
        judge: with the neutral scale, if it needs one
        rows: genuine answers to different questions, their ids different
        seed: of the damage and of all resampling
        repeats: how often ten of the rows are graded again, each a judgment to pay for

    Raises:
        ValueError: if no row has an answer.
    """
    rows = [row for row in rows if row.answers[-1].strip()]
    if not rows:
        raise ValueError("a card needs rows with answers, and none has any")
    pairs = spoil(rows, seed)
    exchanges = list(dict.fromkeys([*rows, *(pair.spoilt for pair in pairs)]))
    graded = judge.grade(exchanges, _ignore)
    grades = dict(zip(exchanges, graded, strict=True))
    scale = _scale(pairs, grades)
    games = _played(judge, pairs, seed) if judge.sees_both else []
    verdicts = [verdict for _, *both in games for verdict in both]
    again = _again(judge, rows, seed, repeats)
    return Card(
        judge=judge.name,
        prompt=judge.prompt_name(rows[0]),
        rows=len(rows),
        kinds=tuple(_kinds(pairs, grades)),
        accuracy=_pooled(pairs, grades, seed),
        flips=_flips(games, seed),
        length_raw=_by_length(rows, [grades[row].raw for row in rows], seed),
        length_rating=_by_length(rows, [_rating(grades[row], scale) for row in rows], seed),
        failures=_failures([*graded, *(new for _, new in again), *verdicts]),
        consistency=_consistency([(grades[row], new) for row, new in again], scale),
        scale=scale,
    )


def _ignore(place: int, judged: object) -> None:
    """Hear of a judgment; the card needs all of them."""


def _scale(pairs: Sequence[Pair], grades: Grades) -> Scale | None:
    if all(grade.raw == grade.rating for grade in grades.values()):
        return None
    genuine = {pair.genuine for pair in pairs}
    raw = {exchange: grade.raw for exchange, grade in grades.items() if grade.raw is not None}
    return Scale.fit(
        [value for exchange, value in raw.items() if exchange in genuine],
        [value for exchange, value in raw.items() if exchange not in genuine],
    )


def _outcome(pair: Pair, grades: Grades) -> int | None:
    """Return 1 if the genuine answer wins, 0 for a tie, -1 if it loses; None after a failure."""
    genuine, spoilt = grades[pair.genuine].raw, grades[pair.spoilt].raw
    if genuine is None or spoilt is None:
        return None
    return (genuine > spoilt) - (genuine < spoilt)


def _kinds(pairs: Sequence[Pair], grades: Grades) -> Iterable[KindResult]:
    for kind in KINDS:
        found = [_outcome(pair, grades) for pair in pairs if pair.kind == kind]
        outcomes = [outcome for outcome in found if outcome is not None]
        if outcomes:
            wins = outcomes.count(1)
            share = share_interval(wins, len(outcomes))
            yield KindResult(kind, len(outcomes), wins, outcomes.count(0), share)


def _pooled(pairs: Sequence[Pair], grades: Grades, seed: int) -> Interval | None:
    found = [(pair.genuine, _outcome(pair, grades)) for pair in pairs]
    won = [(row, float(outcome == 1)) for row, outcome in found if outcome is not None]
    return _share_of_rows(won, seed)


def _share_of_rows(values: Sequence[tuple[Exchange, float]], seed: int) -> Interval | None:
    """Return the share of values from 0 to 1; those of one row are drawn together."""
    if not values:
        return None
    rows, shares = zip(*values, strict=True)
    return clustered_share(shares, rows, seed=seed)


def _rating(grade: Grade, scale: Scale | None) -> float | None:
    if scale is None or grade.raw is None:
        return grade.rating
    return scale.rating(grade.raw)


def _by_length(
    rows: Sequence[Exchange], values: Sequence[float | None], seed: int
) -> Interval | None:
    """Return how much more there is for an answer of twice the characters."""
    known = [
        (log2(len(row.answers[-1])), value)
        for row, value in zip(rows, values, strict=True)
        if value is not None
    ]
    return slope([length for length, _ in known], [value for _, value in known], seed=seed)


def _again(
    judge: Judge, rows: Sequence[Exchange], seed: int, repeats: int
) -> list[tuple[Exchange, Grade]]:
    """Grade some rows again; each time by itself, so that nothing is answered from memory."""
    some = random.Random(seed).sample(list(rows), min(_REPEATED_ROWS, len(rows)))
    return [
        (row, grade)
        for _ in range(repeats)
        for row, grade in zip(some, judge.grade(some, _ignore), strict=True)
    ]


def _consistency(again: Sequence[tuple[Grade, Grade]], scale: Scale | None) -> Consistency | None:
    rated = [(_rating(old, scale), _rating(new, scale)) for old, new in again]
    off = [abs(old - new) for old, new in rated if old is not None and new is not None]
    if not off:
        return None
    return Consistency(len(off), sum(d < _SAME for d in off) / len(off), sum(off) / len(off))


def _played(judge: Judge, pairs: Sequence[Pair], seed: int) -> list[Played]:
    """Play some pairs in both orders: the genuine answer first, then second."""
    some = random.Random(seed).sample(list(pairs), min(_GAMES, len(pairs)))
    games = [
        Game(pair.genuine.id, pair.genuine.questions, *answers, pair.genuine.references)
        for pair in some
        for answers in (
            (pair.genuine.answers, pair.spoilt.answers),
            (pair.spoilt.answers, pair.genuine.answers),
        )
    ]
    verdicts = judge.play(games, _ignore)
    rows = [pair.genuine for pair in some]
    return list(zip(rows, verdicts[::2], verdicts[1::2], strict=True))


def _flips(games: Sequence[Played], seed: int) -> Flips | None:
    swapped = {"a": "b", "b": "a", "tie": "tie"}
    flipped = [
        (row, float(first.winner != swapped[second.winner]))
        for row, first, second in games
        if first.winner is not None and second.winner is not None
    ]
    rate = _share_of_rows(flipped, seed)
    return None if rate is None else Flips(len(flipped), rate)


def _failures(judgments: Sequence[Grade | Verdict]) -> Counted:
    kinds = [judgment.failure for judgment in judgments]
    return Counted(len(kinds), kinds.count("call"), kinds.count("format"))
