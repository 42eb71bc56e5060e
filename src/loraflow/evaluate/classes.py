"""Measures sequence classification: the label that the model gives each text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from loraflow.data.clean.fingerprints import prompt_id
from loraflow.data.encode.labels import read_labels
from loraflow.data.tables import read_batches
from loraflow.evaluate.arm import Arm, HeldOut, Measured
from loraflow.evaluate.metrics.classification import Classification
from loraflow.model.load import Classifier, load_trained_classifier
from loraflow.progress import progress


def measure_classes(arm: Arm, rows: HeldOut) -> Measured:
    """Return the label given to each text, and the loss of the right one in nats.

    The base has no head of its own: a random one takes its place, which is right by chance.
    """
    labels = read_labels(rows.tokens)
    model = load_trained_classifier(arm.base, arm.trained, labels)
    logs = _log_probabilities(model, arm, rows.examples)
    answers = [labels[int(row.argmax())] for row in logs]
    references = [example["label"] for example in rows.examples]
    correct = Classification().compute(predictions=answers, references=references)["correct"]
    items = [
        {
            "id": example["id"],
            "prompt_id": prompt_id(rows.records[example["id"]]),
            "prompt": _text(rows, example["id"]),
            "reference": reference,
            "answer": answer,
            "correct": right,
            "confidence": float(row.max().exp()),
            "loss": -float(row[labels.index(reference)]),
        }
        for example, reference, answer, right, row in zip(
            rows.examples, references, answers, correct, logs, strict=True
        )
    ]
    facts = {
        "confusion": _confusion(labels, references, answers),
        "note": "" if arm.trained else _note(rows, references),
    }
    return Measured(items, facts)


def _log_probabilities(
    model: Classifier, arm: Arm, examples: Sequence[Mapping[str, Any]]
) -> list[torch.Tensor]:
    """Return the log-probability of each label for each text, in the order of the examples."""
    tokenizer = arm.tokenizer()
    ids = [example["input_ids"] for example in examples]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    rows: list[torch.Tensor] = [torch.empty(0)] * len(ids)
    size = arm.settings.batch_size
    with progress("classify", len(ids), "texts") as bar:
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            inputs = tokenizer.pad(
                {"input_ids": [ids[index] for index in batch]},
                padding_side="right",
                return_tensors="pt",
            )
            with torch.inference_mode():
                logits = model(**inputs.to(model.device)).logits
            for index, row in zip(batch, logits.float().log_softmax(dim=-1).cpu(), strict=True):
                rows[index] = row
            bar.update(len(batch))
    return rows


def _confusion(
    labels: Sequence[str], references: Sequence[str], answers: Sequence[str]
) -> dict[str, Any]:
    """Count answers by right label (rows) and given label (columns)."""
    counts = Counter(zip(references, answers, strict=True))
    table = [[counts[right, given] for given in labels] for right in labels]
    return {"labels": list(labels), "right_by_given": table}


def _note(rows: HeldOut, references: Sequence[str]) -> str:
    """Say what the base's numbers mean, and what is right without reading any text."""
    found: Counter[str] = Counter()
    for batch in read_batches(rows.tokens / "train.parquet", ["label"]):
        found.update(batch["label"].to_pylist())
    ((commonest, _),) = found.most_common(1)
    share = references.count(commonest) / len(references)
    return (
        "The base has a head that was drawn at random, so its scores are those of chance. "
        f"To answer {commonest} every time, the commonest label in training, is {share:.3f} right."
    )


def _text(rows: HeldOut, name: str) -> str:
    return "\n".join(
        part["content"] for part in rows.records[name].messages if part["role"] == "user"
    )
