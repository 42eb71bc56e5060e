"""Measures preferences: the answers, and whether the better one is found likelier than the worse.

A sum of log-likelihoods favours the shorter answer, a mean over tokens does not: both are given.
"""

from typing import Any

from loraflow.evaluate.answers import answer_and_score
from loraflow.evaluate.arm import Arm, Measured
from loraflow.evaluate.likelihood import reference_losses

_METRICS = (
    "prefers_chosen",
    "chosen_margin",
    "prefers_per_token",
    "margin_per_token",
)


def measure_pairs(arm: Arm) -> Measured:
    """Return the metrics of the chosen answers, the share preferred, and margins in nats."""
    model = arm.load_model()
    chosen = answer_and_score(arm, model)
    rejected = reference_losses(
        model,
        [
            {"input_ids": example["rejected_ids"], "labels": example["rejected_labels"]}
            for example in arm.examples
        ],
        batch_size=arm.settings.batch_size,
    )
    items = [
        {**item, "rejected": arm.records[item["id"]].rejected, **_preference(item, *worse)}
        for item, worse in zip(chosen.items, rejected, strict=True)
    ]
    means = {name: sum(item[name] for item in items) / len(items) for name in _METRICS}
    return Measured(items, {**chosen.metrics, **means}, chosen.facts)


def _preference(item: dict[str, Any], rejected_loss: float, rejected_tokens: int) -> dict[str, Any]:
    margin = rejected_loss - item["loss"] * item["tokens"]
    per_token = rejected_loss / rejected_tokens - item["loss"]
    return {
        "rejected_loss": rejected_loss / rejected_tokens,
        "rejected_tokens": rejected_tokens,
        "prefers_chosen": float(margin > 0),
        "chosen_margin": margin,
        "prefers_per_token": float(per_token > 0),
        "margin_per_token": per_token,
    }
