"""Multiple choice: how likely a model finds each option as the answer to its question."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from loraflow.data.records import Record
from loraflow.evaluate.arm import Arm, HeldOut
from loraflow.evaluate.branches import Branched, likelihoods
from loraflow.evaluate.metrics.choices import Choices
from loraflow.model.load import CausalLM


def score_options(arm: Arm, rows: HeldOut, model: CausalLM) -> list[dict[str, Any]]:
    """Return which option the model finds likeliest, for rows that have options; else nothing."""
    records = [rows.records[example["id"]] for example in rows.examples]
    chosen = [place for place, record in enumerate(records) if record.kind == "choice"]
    found: list[dict[str, Any]] = [{} for _ in records]
    if not chosen:
        return found
    right = [ascii_uppercase.index(records[place].label or "") for place in chosen]
    options = [_answers(records[place], at) for place, at in zip(chosen, right, strict=True)]
    questions = [list(records[place].prompt) for place in chosen]
    for place, item in zip(chosen, choose(arm, model, questions, options, right), strict=True):
        found[place] = item
    return found


def choose(
    arm: Arm,
    model: CausalLM,
    questions: Sequence[Sequence[Any]],
    options: Sequence[Sequence[str]],
    right: Sequence[int],
) -> list[dict[str, Any]]:
    """Return for each question (messages) the option chosen, and whether it is right."""
    template = arm.chat(arm.tokenizer())
    asked = [
        Branched(template.prompt_ids(question), template.answer_ids(question, texts))
        for question, texts in zip(questions, options, strict=True)
    ]
    found = Choices().compute(
        predictions=likelihoods(model, asked, "choose"),
        sizes=[[len(text.encode()) for text in texts] for texts in options],
        references=list(right),
    )
    return [
        {name: values[place] for name, values in found.items()} for place in range(len(questions))
    ]


def _answers(record: Record, right: int) -> list[str]:
    """Return each option as an answer; the right one as the row has it."""
    lines = list(record.option_lines)
    return [*lines[:right], record.answer, *lines[right + 1 :]]
