"""Single-answer grading: each answer of each model is rated alone, from 1 to 10."""

from collections.abc import Sequence
from dataclasses import dataclass

from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.asking import ask, journal_key
from loraflow.evaluate.judge.base import Exchange, Grade, Judge
from loraflow.evaluate.mt_bench.answers import ModelAnswers
from loraflow.evaluate.mt_bench.judging import MISSING, Judgment, references
from loraflow.evaluate.mt_bench.questions import Question, judged_turns

FAILED_SCORE = -1  # FastChat's score of a judgment that failed


@dataclass(frozen=True)
class _Match:
    question: Question
    turn: int
    model: str
    exchange: Exchange
    key: str  # empty: there is no answer to judge


def judge_single(
    judge: Judge,
    questions: Sequence[Question],
    *,
    answers: Sequence[ModelAnswers],
    journal: Journal,
) -> list[Judgment]:
    """Return FastChat's rows of <judge>_single.jsonl, ordered by turn, question and model.

    Turn 1 is judged alone, turn 2 with turn 1 before it. A row that failed has the score -1 and in
    "failure" says why: "call", "format" or "missing_answer". A missing answer is never judged.
    """
    matches = [
        _match(judge, question, turn, given)
        for turn in (1, 2)
        for question in questions
        if turn in judged_turns(question)
        for given in answers
    ]
    asked = {match.key: match.exchange for match in matches if match.key}
    grades = ask("grade", asked, journal, judge.grade, Grade)
    return [_row(judge, match, grades.get(match.key)) for match in matches]


def _match(judge: Judge, question: Question, turn: int, given: ModelAnswers) -> _Match:
    texts = given.up_to(question.id, turn)
    exchange = Exchange(
        str(question.id),
        question.turns[:turn],
        texts or ("",) * turn,
        references(question, turn),
    )
    key = ""
    if texts is not None:
        digest = judge.prompt_hash(exchange)
        key = journal_key("single", question.id, given.model, judge.name, digest, turn)
    return _Match(question, turn, given.model, exchange, key)


def _row(judge: Judge, match: _Match, grade: Grade | None) -> Judgment:
    """Make a row of the grade; None: there was nothing to grade."""
    known = grade or Grade(rating=None, raw=None)
    return {
        "question_id": match.question.id,
        "model": match.model,
        "judge": [judge.name, judge.prompt_name(match.exchange)],
        "user_prompt": known.prompt,
        "judgment": known.judgment,
        "score": FAILED_SCORE if known.rating is None else known.rating,
        "raw": known.raw,  # not in FastChat, nor is failure
        "failure": known.failure if grade else MISSING,
        "turn": match.turn,
        "tstamp": 0,  # the clock would make equal judgments different files
    }
