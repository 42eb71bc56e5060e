"""Agreement of a judge with people on which of two answers is better, as FastChat computes it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from loraflow.compare.statistics import Interval, mean_interval
from loraflow.errors import UserError
from loraflow.evaluate.mt_bench.judge_pair import ERROR
from loraflow.evaluate.mt_bench.judging import Judgment
from loraflow.evaluate.mt_bench.rows import Row, read_rows
from loraflow.evaluate.mt_bench.score_pair import winner_of

_AUTHOR = "author"  # FastChat keeps the votes of MT-Bench's authors apart from those of experts
_TIE = "tie"
_SIDES = {"model_a": "a", "model_b": "b"}
_IN_ORDER = {"a": "first", "b": "second", _TIE: _TIE}
_SWAPPED = {"a": "second", "b": "first", _TIE: _TIE}

_Key = tuple[int, str, str]  # question, and both models in the order of their names
_Pair = tuple[int, str, str]  # question, and two votes on the same answers


@dataclass(frozen=True)
class Vote:
    """Which of two models answered better; the models stand in the order of their names."""

    question_id: int
    turn: int
    models: tuple[str, str]
    winner: str  # "first" or "second" of them, or "tie"


@dataclass(frozen=True)
class Agreement:
    """How often two votes on the same answers are equal."""

    turn: int
    with_ties: bool  # else pairs with a tie among them are left out
    n: int  # pairs of votes
    share: Interval | None  # equal votes; the interval is drawn by question. None: no pair
    kappa: float | None  # Cohen's: 0 is chance, 1 is perfect. None: chance alone is perfect


def judge_agreement(
    judge: Iterable[Vote], humans: Iterable[Vote], seed: int = 0
) -> list[Agreement]:
    """Return the agreement of a judge with each person's vote, by turn, with ties and without.

    Raises:
        UserError: if the judge voted on the same answers twice.
    """
    judged: dict[tuple[int, _Key], str] = {}
    for vote in judge:
        if (vote.turn, _key(vote)) in judged:
            raise UserError(
                f"the judge's votes hold question_id={vote.question_id}, turn {vote.turn}, models "
                f"{' and '.join(vote.models)} twice; keep one"
            )
        judged[vote.turn, _key(vote)] = vote.winner
    pairs: dict[int, list[_Pair]] = {}
    for vote in humans:
        winner = judged.get((vote.turn, _key(vote)))
        if winner is not None:
            pairs.setdefault(vote.turn, []).append((vote.question_id, winner, vote.winner))
    return _agreements(pairs, _kappa, seed)


def human_agreement(humans: Iterable[Vote], seed: int = 0) -> list[Agreement]:
    """Return the agreement among people, all pairs of votes on the same answers: a judge's goal.

    Which of two people comes first says nothing, so kappa counts each pair in both orders.
    """
    votes: dict[tuple[int, _Key], list[str]] = {}
    for vote in humans:
        votes.setdefault((vote.turn, _key(vote)), []).append(vote.winner)
    pairs: dict[int, list[_Pair]] = {}
    for (turn, (question, *_)), winners in votes.items():
        for one, other in combinations(winners, 2):
            pairs.setdefault(turn, []).append((question, one, other))
    return _agreements(pairs, _kappa_of_both_orders, seed)


def votes_of_judge(rows: Iterable[Judgment]) -> list[Vote]:
    """Return the votes in rows of <judge>_pair.jsonl; games that failed are no votes."""
    sides = {"model_1": "a", "model_2": "b", _TIE: _TIE}
    return [
        _vote(row, row["model_1"], row["model_2"], sides[winner_of(row)])
        for row in rows
        if ERROR not in (row["g1_winner"], row["g2_winner"])
    ]


def read_human_votes(path: Path) -> list[Vote]:
    """Read FastChat's shape of votes, one JSON object a line; those of authors are passed over.

    Example of a line:
        {"question_id": 81, "model_a": "alpaca-13b", "model_b": "gpt-3.5-turbo",
         "winner": "model_b", "judge": "expert_17", "turn": 1}

    Raises:
        UserError: if a line is bad.
    """
    return [
        _human_vote(row)
        for row in read_rows(path, "human votes")
        if not row.text("judge").startswith(_AUTHOR)
    ]


def _human_vote(row: Row) -> Vote:
    named = row.text("winner")
    winner = _TIE if _TIE in named else _SIDES.get(named)
    if winner is None:
        raise row.error("winner", named, "model_a, model_b or tie")
    fields = {"question_id": row.integer("question_id"), "turn": row.integer("turn")}
    return _vote(fields, row.text("model_a"), row.text("model_b"), winner)


def _vote(fields: Mapping[str, Any], a: str, b: str, winner: str) -> Vote:
    """Make a vote for "a", "b" or "tie" one on the models in the order of their names."""
    models, places = ((a, b), _IN_ORDER) if a < b else ((b, a), _SWAPPED)
    return Vote(fields["question_id"], fields["turn"], models, places[winner])


def _key(vote: Vote) -> _Key:
    return (vote.question_id, *vote.models)


def _agreements(
    pairs: dict[int, list[_Pair]], kappa: Callable[[Sequence[_Pair]], float | None], seed: int
) -> list[Agreement]:
    found = []
    for turn in sorted(pairs):
        without = [pair for pair in pairs[turn] if _TIE not in pair[1:]]
        for chosen, with_ties in ((pairs[turn], True), (without, False)):
            found.append(
                Agreement(turn, with_ties, len(chosen), _share(chosen, seed), kappa(chosen))
            )
    return found


def _share(pairs: Sequence[_Pair], seed: int) -> Interval | None:
    if not pairs:
        return None
    equal = [float(one == other) for _, one, other in pairs]
    return mean_interval(equal, clusters=[question for question, *_ in pairs], seed=seed)


def _kappa_of_both_orders(pairs: Sequence[_Pair]) -> float | None:
    return _kappa([*pairs, *((question, other, one) for question, one, other in pairs)])


def _kappa(pairs: Sequence[_Pair]) -> float | None:
    """Return (observed - by chance) / (1 - by chance), Cohen 1960."""
    n = len(pairs)
    first, second = (Counter(pair[side] for pair in pairs) for side in (1, 2))
    chance = sum(first[vote] * second[vote] for vote in first)  # times n squared
    if chance == n * n:
        return None
    observed = sum(one == other for _, one, other in pairs)
    return (observed * n - chance) / (n * n - chance)
