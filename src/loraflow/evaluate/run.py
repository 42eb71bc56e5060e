"""Stage: one model, base or tuned, measured on the held-out rows."""

import math
from pathlib import Path
from typing import Any

from loraflow.config import EvaluateConfig
from loraflow.data.tables import read_rows
from loraflow.data.template import IGNORED
from loraflow.data.tokenize import read_examples
from loraflow.evaluate.generate import generate_answers
from loraflow.evaluate.likelihood import reference_losses
from loraflow.evaluate.metrics.rouge import TYPES
from loraflow.evaluate.overlap import Overlap, score_overlap
from loraflow.files import ITEMS, write_lines
from loraflow.model.load import load_for_answers
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from loraflow.train.loss import require_known_head


def evaluate(
    settings: EvaluateConfig,
    *,
    prepared: Path,
    tokens: Path,
    base: BaseModel,
    adapter: Path | None,
    out: Path,
) -> dict[str, Any]:
    """Write items.jsonl (prompt, reference, answer and scores of each held-out row) to `out`.

    Returns the metrics: BLEU of the set, mean ROUGE, loss in nats a token, and its perplexity.
    """
    records = {row.id: row.record for row in read_rows(prepared / "held_out.parquet")}
    examples = read_examples(tokens / "held_out.parquet")
    tokenizer = load_tokenizer(base)
    model = load_for_answers(base, adapter)
    require_known_head(model)
    losses = reference_losses(model, examples, batch_size=settings.batch_size)
    answers = generate_answers(
        model,
        tokenizer,
        [_prompt_ids(example) for example in examples],
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
        stop=stop_tokens(base, tokenizer),
    )
    references = [records[example["id"]].answer for example in examples]
    overlap = score_overlap([answer.text for answer in answers], references, settings.language)
    write_lines(
        out / ITEMS,
        (
            {
                "id": example["id"],
                "prompt": records[example["id"]].question,
                "reference": reference,
                "answer": answer.text,
                "ended": answer.ended,
                **{name: overlap.rouge[name][index] for name in TYPES},
                "loss": losses[index][0] / losses[index][1],
                "tokens": losses[index][1],
            }
            for index, (example, reference, answer) in enumerate(
                zip(examples, references, answers, strict=True)
            )
        ),
    )
    return {
        "counts": {"items": len(examples)},
        "metrics": {
            **_metrics(overlap, losses),
            "cut_share": sum(not answer.ended for answer in answers) / len(answers),
        },
        "bleu_signature": overlap.bleu_signature,
        "language": overlap.language,
    }


def _prompt_ids(example: dict[str, Any]) -> list[int]:
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
