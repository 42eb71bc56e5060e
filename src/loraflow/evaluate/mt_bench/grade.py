"""Stages: a judge grades the answers of one model, and has two models play."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from loraflow.config import MtBenchConfig
from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.base import Exchange, Judge
from loraflow.evaluate.judge.examine import read_card
from loraflow.evaluate.judge.opening import Bench, usage_of
from loraflow.evaluate.mt_bench.answer import ANSWERS, choose_questions
from loraflow.evaluate.mt_bench.answers import ModelAnswers, read_answers
from loraflow.evaluate.mt_bench.judge_pair import judge_pair
from loraflow.evaluate.mt_bench.judge_single import judge_single
from loraflow.evaluate.mt_bench.judging import Judgment, judgment_path
from loraflow.files import read_lines, write_lines

_JUDGMENTS = "model_judgment"


def grade_model(
    bench: Bench, settings: MtBenchConfig, *, answered: Path, card: Path, work: Path, out: Path
) -> dict[str, Any]:
    """Write model_judgment/<judge>_single.jsonl in FastChat's shape to `out`; return counts."""
    reading, found, _ = read_card(card)
    with bench.judge(reading, found.scale) as judge, Journal(work / "single.jsonl") as journal:
        questions = choose_questions(settings, bench.reference_judge)
        rows = judge_single(judge, questions, answers=[answers_in(answered)], journal=journal)
        return _written(out, judge, "single", rows)


def play_models(
    bench: Bench,
    settings: MtBenchConfig,
    *,
    answered: Sequence[Path],
    card: Path,
    work: Path,
    out: Path,
) -> dict[str, Any]:
    """Write model_judgment/<judge>_pair.jsonl in FastChat's shape to `out`; return counts."""
    reading, found, _ = read_card(card)
    with bench.judge(reading, found.scale) as judge, Journal(work / "pair.jsonl") as journal:
        questions = choose_questions(settings, bench.reference_judge)
        answers = [answers_in(folder) for folder in answered]
        pairs = [(answers[1].model, answers[0].model)]
        rows = judge_pair(judge, questions, answers=answers, pairs=pairs, journal=journal)
        return _written(out, judge, "pair", rows)


def answers_in(folder: Path) -> ModelAnswers:
    """Read the answers of the model whose output `folder` is."""
    (file,) = (folder / ANSWERS).glob("*.jsonl")
    return read_answers(file)


def judgments_in(folder: Path) -> list[Judgment]:
    """Read the judgments that a stage left."""
    (file,) = (folder / _JUDGMENTS).glob("*.jsonl")
    return read_lines(file)


def card_rows(settings: MtBenchConfig, judge_name: str | None, most: int) -> list[Exchange]:
    """Return first questions with their right answers, on which a judge can be tested."""
    return [
        Exchange(str(question.id), question.turns[:1], question.references[:1])
        for question in _spread(choose_questions(settings, judge_name), most)
    ]


def _spread(questions: Iterable[Any], most: int) -> list[Any]:
    """Choose questions with references, evenly from all there are."""
    known = [question for question in questions if question.references]
    step = max(1, len(known) / most)
    return [known[int(place * step)] for place in range(min(most, len(known)))]


def _written(out: Path, judge: Judge, kind: Any, rows: Sequence[Judgment]) -> dict[str, Any]:
    path = judgment_path(out, judge.name, kind)
    path.parent.mkdir(parents=True)
    count = write_lines(path, rows)
    failed = Counter(row["failure"] for row in rows if row["failure"])
    return {"counts": {"judgments": count, **failed}, "metrics": {}, **usage_of(judge)}
