"""Stage: a model answers two-turn questions, the second with its own first answer before it."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loraflow.config import MtBenchConfig
from loraflow.evaluate.arm import Arm
from loraflow.evaluate.generate.prompt import Answer, Prompt
from loraflow.evaluate.mt_bench.answers import ModelAnswers, write_answers
from loraflow.evaluate.mt_bench.questions import Question, load_questions, temperature
from loraflow.files import read_lines, write_lines
from loraflow.model.load import CausalLM
from loraflow.model.tokenizer import Tokenizer

ANSWERS = "model_answer"
_QUESTIONS = "questions.jsonl"  # as they were asked, with their references
_ANY_JUDGE = "reference"  # references are chosen by the judge's name where there are several


def answer_questions(
    arm: Arm, bench: MtBenchConfig, *, model_id: str, judge_name: str | None, out: Path
) -> dict[str, Any]:
    """Write model_answer/<model_id>.jsonl in FastChat's shape to `out`; return counts.

    Drawn as warmly as FastChat draws answers of the category. An answer that has no room in the
    model's window is missing, and so are those behind it: it is counted, never judged.
    """
    questions = choose_questions(bench, judge_name)
    turns: dict[int, list[Answer]] = {question.id: [] for question in questions}
    with arm.model() as model:
        tokenizer = arm.tokenizer()
        for turn in range(max(len(question.turns) for question in questions)):
            asked = [
                question
                for question in questions
                if len(question.turns) > turn and len(turns[question.id]) == turn
            ]
            prompts = dict(_prompts(arm, model, tokenizer, bench, asked, turns))
            answers, _ = arm.answer(model, list(prompts.values()), f"turn_{turn + 1}")
            for number, answer in zip(prompts, answers, strict=True):
                turns[number].append(answer)
    given = ModelAnswers(
        model_id,
        {number: tuple(one.text for one in row) for number, row in turns.items() if row},
        {number: tuple(one.ended for one in row) for number, row in turns.items() if row},
    )
    write_answers(out / ANSWERS, given)
    write_lines(out / _QUESTIONS, map(asdict, questions))
    return {"counts": _counts(questions, turns), "metrics": {}}


def read_questions(folder: Path) -> list[Question]:
    """Return the questions that were asked, with their references."""
    rows = read_lines(folder / _QUESTIONS)
    return [
        Question(row["id"], row["category"], tuple(row["turns"]), tuple(row["references"]))
        for row in rows
    ]


def choose_questions(bench: MtBenchConfig, judge_name: str | None) -> list[Question]:
    """Return the questions of all sets, the first so many of each category if that is asked for."""
    seen: dict[tuple[str, str], int] = {}
    chosen = []
    for source in bench.questions:
        for question in load_questions(source, judge_name or _ANY_JUDGE):
            place = seen[source, question.category] = seen.get((source, question.category), 0) + 1
            if bench.per_category is None or place <= bench.per_category:
                chosen.append(question)
    return chosen


def _prompts(
    arm: Arm,
    model: CausalLM,
    tokenizer: Tokenizer,
    bench: MtBenchConfig,
    questions: Sequence[Question],
    before: dict[int, list[Answer]],
) -> Iterator[tuple[int, Prompt]]:
    """Yield the next prompt of each question by its id; one without room is passed over."""
    window = getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf
    for question in questions:
        messages = list(_messages(question, before[question.id]))
        ids = arm.ask(tokenizer, messages)
        room = min(bench.max_new_tokens, window - len(ids))
        if room >= 1:
            seed = _seed(question, len(before[question.id]))
            warm = temperature(question.category)
            yield question.id, Prompt(_key(ids, room), ids, int(room), warm, seed)


def _messages(question: Question, answers: Sequence[Answer]) -> Iterator[dict[str, str]]:
    for turn, text in enumerate(question.turns[: len(answers) + 1]):
        yield {"role": "user", "content": text}
        if turn < len(answers):
            yield {"role": "assistant", "content": answers[turn].text}


def _seed(question: Question, turn: int) -> int:
    return 2 * question.id + turn


def _key(ids: list[int], room: float) -> str:
    return hashlib.sha256(f"{ids} {room}".encode()).hexdigest()


def _counts(questions: Sequence[Question], turns: dict[int, list[Answer]]) -> dict[str, int]:
    asked = sum(len(question.turns) for question in questions)
    answers = [answer for row in turns.values() for answer in row]
    return {
        "questions": len(questions),
        "answers": len(answers),
        "missing": asked - len(answers),
        "cut": sum(not answer.ended for answer in answers),
        "tokens": sum(answer.tokens for answer in answers),
    }
