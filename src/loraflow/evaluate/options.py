"""Multiple choice: how likely a model finds each option as the answer to its question."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import torch
from torch import Tensor

from loraflow.data.records import Record
from loraflow.data.template import IGNORED
from loraflow.evaluate.arm import Arm, HeldOut
from loraflow.evaluate.likelihood import foretell
from loraflow.evaluate.metrics.choices import Choices
from loraflow.model.load import CausalLM
from loraflow.progress import progress
from loraflow.train.loss import output_logits, uses_model_forward

_ROWS = 8  # questions read at once


@dataclass(frozen=True)
class Asked:
    """A question and its options, as tokens."""

    prompt: list[int]
    options: list[list[int]]


def score_options(arm: Arm, rows: HeldOut, model: CausalLM) -> list[dict[str, Any]]:
    """Return which option the model finds likeliest, for rows that have options; else nothing."""
    records = [rows.records[example["id"]] for example in rows.examples]
    chosen = [place for place, record in enumerate(records) if record.kind == "choice"]
    found: list[dict[str, Any]] = [{} for _ in records]
    if not chosen:
        return found
    options = [_lines(records[place]) for place in chosen]
    right = [
        lines.index(records[place].answer) for place, lines in zip(chosen, options, strict=True)
    ]
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
    tokenizer = arm.tokenizer()
    asked = [
        Asked(
            arm.ask(tokenizer, question),
            [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts],
        )
        for question, texts in zip(questions, options, strict=True)
    ]
    likelihoods = _likelihoods(model, asked)
    found = Choices().compute(
        predictions=likelihoods,
        sizes=[[len(text.encode()) for text in texts] for texts in options],
        references=list(right),
    )
    return [
        {name: values[place] for name, values in found.items()} for place in range(len(questions))
    ]


def _lines(record: Record) -> list[str]:
    """Return the options as the question shows them."""
    texts = record.choices or ()
    return [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, texts, strict=False)]


def _likelihoods(model: CausalLM, asked: Sequence[Asked]) -> list[list[float]]:
    """Return the log-likelihood of each option behind its question, in nats.

    The options of a question stand behind it in one row, each at the place of the first and blind
    to the others, so that the question is read once.
    """
    if uses_model_forward(model):  # vectors before the text: options are read one by one
        return _one_by_one(model, asked)
    found: list[list[float]] = [[] for _ in asked]
    sizes = [len(row.prompt) + sum(map(len, row.options)) for row in asked]
    order = sorted(range(len(asked)), key=lambda place: sizes[place])
    with progress("choose", len(asked), "questions") as bar:
        for start in range(0, len(order), _ROWS):
            places = order[start : start + _ROWS]
            batch = [asked[place] for place in places]
            for place, row in zip(places, _measure(model, batch), strict=True):
                found[place] = row
            bar.update(len(places))
    return found


@torch.inference_mode()
def _measure(model: Any, rows: Sequence[Asked]) -> list[list[float]]:
    causal_lm = model.get_base_model() if hasattr(model, "get_base_model") else model
    inputs = [_row(row) for row in rows]
    longest = max(len(ids) for ids, _, _ in inputs)
    dtype = causal_lm.dtype
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    positions = torch.zeros_like(ids)
    seen = torch.eye(longest, dtype=torch.bool).repeat(len(rows), 1, 1)  # padding sees itself
    for row, (tokens, places, mask) in enumerate(inputs):
        ids[row, : len(tokens)] = tokens
        positions[row, : len(tokens)] = places
        seen[row, : len(tokens), : len(tokens)] = mask
    hidden = torch.finfo(dtype).min * (~seen).to(dtype)
    states = causal_lm.base_model(
        input_ids=ids.to(causal_lm.device),
        position_ids=positions.to(causal_lm.device),
        attention_mask=hidden[:, None].to(causal_lm.device),
        use_cache=False,
    ).last_hidden_state
    return [_sums(causal_lm, states[row], asked) for row, asked in enumerate(rows)]


def _row(asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, positions and who sees whom, (tokens, tokens), of a question and its options."""
    start = len(asked.prompt)
    ids = torch.tensor([*asked.prompt, *(token for option in asked.options for token in option)])
    places = [*range(start), *(start + at for option in asked.options for at in range(len(option)))]
    part = torch.tensor(
        [0] * start + [number for number, option in enumerate(asked.options, 1) for _ in option]
    )
    seen = (part[None] == 0) | (part[None] == part[:, None])
    return ids, torch.tensor(places), seen & torch.ones_like(seen).tril()


def _sums(causal_lm: Any, states: Tensor, asked: Asked) -> list[float]:
    """Add up the log-likelihoods of the tokens of each option."""
    at, sums = len(asked.prompt), []
    for option in asked.options:
        before = torch.cat([states[len(asked.prompt) - 1][None], states[at : at + len(option) - 1]])
        logs = output_logits(causal_lm, before).float().log_softmax(dim=-1)
        wanted = torch.tensor(option, device=logs.device)
        sums.append(float(logs.gather(1, wanted[:, None]).sum()))
        at += len(option)
    return sums


def _one_by_one(model: CausalLM, asked: Sequence[Asked]) -> list[list[float]]:
    examples = [
        {
            "input_ids": [*row.prompt, *option],
            "labels": [IGNORED] * len(row.prompt) + option,
        }
        for row in asked
        for option in row.options
    ]
    nats = iter(one.nats for one in foretell(model, examples, batch_size=_ROWS))
    return [[-next(nats) for _ in row.options] for row in asked]
