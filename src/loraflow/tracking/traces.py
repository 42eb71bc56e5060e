"""Writes answers as MLflow traces with their ratings, for its views of single answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import mlflow
from mlflow.entities import AssessmentSource, AssessmentSourceType

from loraflow.evaluate.report.content import EvaluationPage, Item, Turn
from loraflow.tracking.run import Run

_MOST = 200  # some hundredths of a second each; the table of items and the page have all
_SHOWN = ("rougeL", "exact_match", "choice_accuracy")  # measured by a program, beside the judge


@dataclass(frozen=True)
class _Answer:
    """One answer of the last arm, and what is said of it."""

    name: str
    prompt: str
    answer: str
    reference: str
    ratings: Mapping[str, float] = field(default_factory=dict)  # by a judge
    scores: Mapping[str, float] = field(default_factory=dict)  # by a program
    rationale: str = ""


def log_traces(run: Run, page: EvaluationPage) -> None:
    """Log the answers that a judge has rated to the active run, at most 200."""
    judge = page.cards[0].name if page.cards else "judge"
    answers = [answer for answer in _answers(page) if answer.ratings][:_MOST]
    spans = []
    for answer in answers:
        span = mlflow.start_span_no_context(
            name=answer.name,
            inputs={"prompt": answer.prompt},
            metadata={"mlflow.sourceRun": run.id},
        )
        span.end(outputs={"answer": answer.answer})
        spans.append(span.trace_id)
    mlflow.flush_trace_async_logging()
    for trace, answer in zip(spans, answers, strict=True):
        _assess(trace, answer, judge)


def _assess(trace: str, answer: _Answer, judge: str) -> None:
    by_judge = AssessmentSource(AssessmentSourceType.LLM_JUDGE, judge)
    by_code = AssessmentSource(AssessmentSourceType.CODE, "loraflow")
    for name, value in answer.ratings.items():
        mlflow.log_feedback(
            trace_id=trace,
            name=name,
            value=value,
            source=by_judge,
            rationale=answer.rationale or None,
        )
    for name, value in answer.scores.items():
        mlflow.log_feedback(trace_id=trace, name=name, value=value, source=by_code)
    if answer.reference:
        source = AssessmentSource(AssessmentSourceType.HUMAN, "data")
        mlflow.log_expectation(
            trace_id=trace, name="reference", value=answer.reference, source=source
        )


def _answers(page: EvaluationPage) -> Iterator[_Answer]:
    for conversation in page.bench.conversations if page.bench else ():
        for number, turn in enumerate(conversation.turns, 1):
            yield _of_turn(f"{conversation.category} {conversation.id} turn {number}", turn)
    for item in page.items:
        if item.answers:
            yield _of_item(item)


def _of_turn(name: str, turn: Turn) -> _Answer:
    arm = list(turn.answers)[-1]  # the tuned one, if there is one
    rating = turn.ratings.get(arm)
    ratings = {} if rating is None else {"judge_rating": rating}
    judgment = turn.judgments.get(arm, "")
    return _Answer(
        name,
        turn.question,
        turn.answers[arm] or "",
        turn.reference,
        ratings,
        rationale=judgment,
    )


def _of_item(item: Item) -> _Answer:
    values = {name: base if tuned is None else tuned for name, (base, tuned) in item.scores.items()}
    arm = list(item.answers)[-1]
    return _Answer(
        "held-out item",
        item.prompt,
        item.answers[arm],
        item.reference,
        {name: value for name, value in values.items() if name == "judge_rating"},
        {name: value for name, value in values.items() if name in _SHOWN},
    )
