"""Scores of single-answer grading: FastChat's means, and what it leaves out.

FastChat's show_result drops failed rows in silence and gives no interval. Here each mean says how
many rows it is of, how many failed and why, and how far it would move with other questions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loraflow.compare.statistics import Difference, Interval, mean_interval, paired_difference
from loraflow.evaluate.mt_bench.judge_single import FAILED_SCORE
from loraflow.evaluate.mt_bench.judging import Judgment, failure_of

ALL = "all"  # the average over every category, beside the categories' own names


@dataclass(frozen=True)
class Mean:
    """The mean of some ratings; its interval is drawn by question."""

    rating: Interval | None  # None: no row was judged
    n: int  # rows in the mean
    failed: Mapping[str, int]  # rows left out, by kind of failure


@dataclass(frozen=True)
class SingleScore:
    """What one model's answers were rated."""

    turns: Mapping[int, Mean]
    average: Mean  # over all rows: the mean of the turns only if none of them failed
    categories: Mapping[str, Mean]  # over both turns


@dataclass(frozen=True)
class Paired:
    """The challenger's ratings minus the reference's, on what both were rated for."""

    difference: Difference | None  # None: there is no such answer
    n: int  # answers, each a question's turn
    questions: int


def single_scores(
    rows: Sequence[Judgment], categories: Mapping[int, str], seed: int = 0
) -> dict[str, SingleScore]:
    """Return the scores of each model, in the order of the rows.

    Args:
        rows: of <judge>_single.jsonl, FastChat's or ours.
        categories: by question id; only they are told apart, in their order.
        seed: of the bootstrap.
    """
    scores = {}
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        turns = sorted({row["turn"] for row in own})
        scores[model] = SingleScore(
            {turn: _mean([row for row in own if row["turn"] == turn], seed) for turn in turns},
            _mean(own, seed),
            {
                category: _mean(part, seed)
                for category, part in _by_category(own, categories).items()
            },
        )
    return scores


def single_differences(
    rows: Iterable[Judgment],
    categories: Mapping[int, str],
    *,
    challenger: str,
    reference: str,
    seed: int = 0,
) -> dict[str, Paired]:
    """Return the paired difference of two models over all questions ("all") and by category."""
    judged = [row for row in rows if row["score"] != FAILED_SCORE]
    differences = {ALL: _paired(judged, challenger, reference, seed)}
    for category, part in _by_category(judged, categories).items():
        differences[category] = _paired(part, challenger, reference, seed)
    return differences


def _by_category(
    rows: Iterable[Judgment], categories: Mapping[int, str]
) -> dict[str, list[Judgment]]:
    parts: dict[str, list[Judgment]] = {category: [] for category in categories.values()}
    for row in rows:
        if row["question_id"] in categories:
            parts[categories[row["question_id"]]].append(row)
    return {category: part for category, part in parts.items() if part}


def _mean(rows: Sequence[Judgment], seed: int) -> Mean:
    judged = [row for row in rows if row["score"] != FAILED_SCORE]
    rating = None
    if judged:
        rating = mean_interval(
            [row["score"] for row in judged],
            clusters=[row["question_id"] for row in judged],
            seed=seed,
        )
    failed = Counter(failure_of(row) for row in rows if row["score"] == FAILED_SCORE)
    return Mean(rating, len(judged), dict(failed))


def _paired(rows: Iterable[Judgment], challenger: str, reference: str, seed: int) -> Paired:
    ratings: dict[str, dict[tuple[int, int], float]] = {challenger: {}, reference: {}}
    for row in rows:
        if row["model"] in ratings:
            ratings[row["model"]][row["question_id"], row["turn"]] = row["score"]
    shared = sorted(ratings[challenger].keys() & ratings[reference].keys())
    clusters: list[Any] = [question for question, _ in shared]
    if not shared:
        return Paired(None, 0, 0)
    difference = paired_difference(
        [ratings[challenger][item] for item in shared],
        [ratings[reference][item] for item in shared],
        clusters=clusters,
        seed=seed,
    )
    return Paired(difference, len(shared), len(set(clusters)))
