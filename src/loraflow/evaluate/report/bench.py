"""Brings answers to two-turn questions and their judgments into the form of the page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loraflow.compare.statistics import Interval
from loraflow.evaluate.judge.examine import read_card
from loraflow.evaluate.mt_bench.answer import read_questions
from loraflow.evaluate.mt_bench.grade import answers_in, judgments_in
from loraflow.evaluate.mt_bench.judging import Judgment
from loraflow.evaluate.mt_bench.questions import Question
from loraflow.evaluate.mt_bench.score_pair import pair_scores
from loraflow.evaluate.mt_bench.score_single import (
    ALL,
    Mean,
    Paired,
    SingleScore,
    single_differences,
    single_scores,
)
from loraflow.evaluate.outputs import EvaluationOutputs
from loraflow.evaluate.report.content import Bench, Conversation, Score, Turn
from loraflow.evaluate.report.notes import FAILURES, OWN, UNTRUSTED


def gather_bench(outputs: EvaluationOutputs) -> Bench | None:
    """Return the scores and conversations of two-turn questions, if they were asked."""
    graded = {
        name: arm.bench_grade for name, arm in outputs.arms().items() if arm.bench_grade is not None
    }
    if not graded or outputs.bench_card is None or outputs.base.answer is None:
        return None
    _, card, file = read_card(outputs.bench_card)
    questions = read_questions(outputs.base.answer)
    categories = {question.id: question.category for question in questions}
    rows = [
        {**row, "model": name} for name, folder in graded.items() for row in judgments_in(folder)
    ]
    scores = single_scores(rows, categories)
    gaps = _gaps(rows, categories) if len(graded) > 1 else {}
    own = OWN if file["own"] and len(graded) > 1 else ""
    note = own if card.trusted else UNTRUSTED
    return Bench(
        judge=card.judge,
        trusted=card.trusted,
        questions=len(questions),
        overall=list(_overall(scores, gaps, note)),
        categories=list(_by_category(scores, gaps, note)),
        failures=[
            (name, count, FAILURES.get(kind, kind))
            for name, score in scores.items()
            for kind, count in score.average.failed.items()
        ],
        pairs=_pairs(outputs, sees_both=card.flips is not None),
        conversations=_conversations(outputs, questions, rows),
    )


def _gaps(rows: Sequence[Judgment], categories: Mapping[int, str]) -> dict[str, Paired]:
    gaps = single_differences(rows, categories, challenger="tuned", reference="base")
    for turn in (1, 2):
        of_turn = [row for row in rows if row["turn"] == turn]
        found = single_differences(of_turn, categories, challenger="tuned", reference="base")
        gaps[f"turn {turn}"] = found[ALL]
    return gaps


def _overall(
    scores: Mapping[str, SingleScore], gaps: Mapping[str, Paired], note: str
) -> Iterator[Score]:
    yield from _score(
        "average",
        "mean rating of both turns, 1 to 10",
        {name: score.average for name, score in scores.items()},
        gaps.get(ALL),
        note,
    )
    for turn in (1, 2):
        means = {name: score.turns[turn] for name, score in scores.items() if turn in score.turns}
        yield from _score(
            f"turn {turn}", f"mean rating of turn {turn}", means, gaps.get(f"turn {turn}"), note
        )


def _by_category(
    scores: Mapping[str, SingleScore], gaps: Mapping[str, Paired], note: str
) -> Iterator[Score]:
    for category in scores["base"].categories:
        means = {
            name: score.categories[category]
            for name, score in scores.items()
            if category in score.categories
        }
        yield from _score(category, f"mean rating of {category}", means, gaps.get(category), note)


def _score(
    name: str, meaning: str, means: Mapping[str, Mean], gap: Paired | None, note: str
) -> Iterator[Score]:
    """Yield the score, unless nothing of it was judged."""
    base, tuned = means.get("base"), means.get("tuned")
    if base is None or base.rating is None:
        return
    yield Score(
        name,
        meaning,
        True,
        base.rating,
        None if tuned is None else tuned.rating,
        None if gap is None else gap.difference,
        note=note,
        digits=2,
        items=base.n,
    )


def _pairs(outputs: EvaluationOutputs, *, sees_both: bool) -> list[tuple[str, Interval]]:
    if outputs.games is None or outputs.tuned is None or outputs.tuned.answer is None:
        return []
    found = pair_scores(judgments_in(outputs.games))
    score = found.models[answers_in(outputs.tuned.answer).model]
    rates = {
        "tuned wins": score.win_rate,
        "base wins": score.loss_rate,
        "ties": score.tie_rate,
        "tuned wins, a tie counted as half": score.win_rate_adjusted,
        "position flips": found.flip_rate if sees_both else None,  # else there is no order to see
    }
    return [(name, rate) for name, rate in rates.items() if rate is not None]


def _conversations(
    outputs: EvaluationOutputs, questions: Sequence[Question], rows: Sequence[Judgment]
) -> list[Conversation]:
    answers = {
        name: answers_in(arm.answer).turns
        for name, arm in outputs.arms().items()
        if arm.answer is not None
    }
    judged = {(row["model"], row["question_id"], row["turn"]): row for row in rows}
    return [
        Conversation(
            str(question.id),
            question.category,
            [_turn(question, place, answers, judged) for place in range(len(question.turns))],
        )
        for question in questions
    ]


def _turn(
    question: Question,
    place: int,
    answers: Mapping[str, Mapping[int, tuple[str, ...]]],
    judged: Mapping[tuple[str, int, int], dict[str, Any]],
) -> Turn:
    judgments = {name: judged.get((name, question.id, place + 1), {}) for name in answers}
    given = {name: turns.get(question.id, ()) for name, turns in answers.items()}
    return Turn(
        question=question.turns[place],
        reference=question.references[place] if place < len(question.references) else "",
        answers={
            name: turns[place] if place < len(turns) else None for name, turns in given.items()
        },
        ratings={
            name: row["score"] if row.get("score", -1) >= 1 else None
            for name, row in judgments.items()
        },
        judgments={name: row.get("judgment", "") for name, row in judgments.items()},
    )
