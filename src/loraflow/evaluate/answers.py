"""Measures answers: what the model writes beside the reference, and how likely it finds that."""

import math
from collections.abc import Mapping
from typing import Any

from loraflow.data.template import IGNORED
from loraflow.evaluate.arm import Arm, Measured
from loraflow.evaluate.generate import Answer, generate_answers
from loraflow.evaluate.likelihood import reference_losses
from loraflow.evaluate.metrics.rouge import TYPES
from loraflow.evaluate.overlap import Overlap, score_overlap
from loraflow.model.load import CausalLM
from loraflow.model.tokenizer import load_tokenizer, stop_tokens


def measure_answers(arm: Arm) -> Measured:
    """Return BLEU of the set, mean ROUGE, loss in nats a token, its perplexity, the cut share."""
    return answer_and_score(arm, arm.load_model())


def answer_and_score(arm: Arm, model: CausalLM) -> Measured:
    """Let a loaded model answer, and measure its answers."""
    losses = reference_losses(model, arm.examples, batch_size=arm.settings.batch_size)
    answers = _answers(arm, model)
    references = [arm.records[example["id"]].answer for example in arm.examples]
    overlap = score_overlap([answer.text for answer in answers], references, arm.settings.language)
    items = [
        {
            "id": example["id"],
            "prompt": arm.records[example["id"]].question,
            "reference": reference,
            "answer": answer.text,
            "ended": answer.ended,
            **{name: overlap.rouge[name][index] for name in TYPES},
            "loss": losses[index][0] / losses[index][1],
            "tokens": losses[index][1],
        }
        for index, (example, reference, answer) in enumerate(
            zip(arm.examples, references, answers, strict=True)
        )
    ]
    cut_share = sum(not answer.ended for answer in answers) / len(answers)
    return Measured(
        items,
        {**_metrics(overlap, losses), "cut_share": cut_share},
        {"bleu_signature": overlap.bleu_signature, "language": overlap.language},
    )


def _answers(arm: Arm, model: CausalLM) -> list[Answer]:
    tokenizer = load_tokenizer(arm.base)
    return generate_answers(
        model,
        tokenizer,
        [_prompt_ids(example) for example in arm.examples],
        max_new_tokens=arm.settings.max_new_tokens,
        batch_size=arm.settings.batch_size,
        stop=stop_tokens(arm.base, tokenizer),
    )


def _prompt_ids(example: Mapping[str, Any]) -> list[int]:
    """The tokens before the last answer: what training put in front of it.

    Raw text has no prompt; it is gone on with from its first token.
    """
    length = len(example["labels"])
    ignored = (index for index in range(length, 0, -1) if example["labels"][index - 1] == IGNORED)
    ids: list[int] = example["input_ids"][: next(ignored, 1)]
    return ids


def _metrics(overlap: Overlap, losses: list[tuple[float, int]]) -> dict[str, float]:
    loss = sum(total for total, _ in losses) / sum(count for _, count in losses)
    means = {name: sum(overlap.rouge[name]) / len(losses) for name in TYPES}
    return {"bleu": overlap.bleu, **means, "loss": loss, "perplexity": math.exp(loss)}
