"""Measures answers: what the model writes beside the reference, and how likely it finds that."""

from collections.abc import Mapping, Sequence
from typing import Any

from loraflow.data.clean.fingerprints import prompt_id
from loraflow.data.template import IGNORED
from loraflow.evaluate.arm import Arm, HeldOut, Measured
from loraflow.evaluate.generate.prompt import Answer, Prompt
from loraflow.evaluate.generate.run import Speed
from loraflow.evaluate.likelihood import foretell
from loraflow.evaluate.metrics.behaviour import Behaviour
from loraflow.evaluate.metrics.likelihood import Likelihood
from loraflow.evaluate.options import score_options
from loraflow.evaluate.overlap import score_consistency, score_overlap
from loraflow.model.load import CausalLM
from loraflow.model.tokenizer import Tokenizer

_SEEDS = 1_000_003  # apart: of the samples of one row


def measure_answers(arm: Arm, rows: HeldOut) -> Measured:
    """Return answers, their overlap with the references, and the references' likelihood."""
    with arm.model() as model:
        return answer_and_score(arm, rows, model)


def answer_and_score(arm: Arm, rows: HeldOut, model: CausalLM) -> Measured:
    """Let a loaded model answer, and measure its answers."""
    prompts = [
        Prompt(example["id"], _prompt_ids(example), arm.settings.max_new_tokens)
        for example in rows.examples
    ]
    answers, speed = arm.answer(model, prompts)
    references = [rows.records[example["id"]].answer for example in rows.examples]
    overlap = score_overlap([answer.text for answer in answers], references, arm.settings.language)
    columns: list[Sequence[Mapping[str, Any]]] = [
        overlap.items,
        _behaviour(answers),
        _likelihood(arm, rows, model),
        score_options(arm, rows, model),
        _samples(arm, prompts, model, overlap.language),
    ]
    items = [
        {
            "id": example["id"],
            "prompt_id": prompt_id(rows.records[example["id"]]),
            "prompt": rows.records[example["id"]].question,
            "reference": reference,
            "answer": answer.text,
            **{name: value for part in parts for name, value in part.items()},
        }
        for example, reference, answer, *parts in zip(
            rows.examples, references, answers, *columns, strict=True
        )
    ]
    facts = {
        "signatures": overlap.signatures,
        "language": overlap.language,
        "weights_gib": round(model.get_memory_footprint() / 2**30, 4),
        **_pace(speed),
    }
    return Measured(items, facts)


def _prompt_ids(example: Mapping[str, Any]) -> list[int]:
    """The tokens before the last answer: what training put in front of it.

    Raw text has no prompt; it is gone on with from its first token.
    """
    length = len(example["labels"])
    ignored = (index for index in range(length, 0, -1) if example["labels"][index - 1] == IGNORED)
    ids: list[int] = example["input_ids"][: next(ignored, 1)]
    return ids


def _behaviour(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    found = Behaviour().compute(predictions=[answer.text for answer in answers])
    return [
        {
            **{name: values[place] for name, values in found.items()},
            "cut": float(not answer.ended),
            "ended": answer.ended,
        }
        for place, answer in enumerate(answers)
    ]


def _likelihood(arm: Arm, rows: HeldOut, model: CausalLM) -> list[dict[str, Any]]:
    foretold = foretell(model, rows.examples, batch_size=arm.settings.batch_size)
    found = Likelihood().compute(
        predictions=[one.nats for one in foretold],
        tokens=[one.tokens for one in foretold],
        bytes=reference_bytes(rows.examples, arm.tokenizer()),
        hits=[one.hits for one in foretold],
    )
    items: list[dict[str, Any]] = found["items"]
    return items


def reference_bytes(examples: Sequence[Mapping[str, Any]], tokenizer: Tokenizer) -> list[int]:
    """Return the UTF-8 bytes of the text that was to be foretold in each example."""
    learned = [[label for label in example["labels"] if label != IGNORED] for example in examples]
    return [
        len(text.encode()) for text in tokenizer.batch_decode(learned, skip_special_tokens=True)
    ]


def _samples(
    arm: Arm, prompts: Sequence[Prompt], model: CausalLM, language: str
) -> list[dict[str, Any]]:
    """Draw several answers to each row, if they are asked for."""
    count = arm.settings.samples
    if count is None:
        return [{} for _ in prompts]
    drawn = [
        Prompt(
            f"{prompt.key} {sample}",
            prompt.ids,
            prompt.max_new_tokens,
            arm.settings.temperature,
            seed=place * _SEEDS + sample,
        )
        for place, prompt in enumerate(prompts)
        for sample in range(count)
    ]
    answers, _ = arm.answer(model, drawn, "samples")
    texts = [answer.text for answer in answers]
    groups = [texts[start : start + count] for start in range(0, len(texts), count)]
    likeness = score_consistency(groups, language)
    return [
        {"samples": group, "self_consistency": alike}
        for group, alike in zip(groups, likeness, strict=True)
    ]


def _pace(speed: Speed) -> dict[str, Any]:
    """Say how fast answers were written; nothing, if none was written by this process."""
    if not speed.tokens:
        return {}
    return {
        "speed": {
            "tokens_per_second": round(speed.tokens_per_second, 1),
            "seconds_per_token": round(speed.seconds_per_token, 4),
        }
    }
