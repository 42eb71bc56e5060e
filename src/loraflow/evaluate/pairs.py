"""Measures preferences: the answers, and whether the better one is found likelier than the worse.

A sum of log-likelihoods favours the shorter answer, a mean over tokens does not: both are given.
"""

from collections.abc import Mapping
from typing import Any

from loraflow.evaluate.answers import answer_and_score
from loraflow.evaluate.arm import Arm, HeldOut, Measured
from loraflow.evaluate.likelihood import Foretold, foretell


def measure_pairs(arm: Arm, rows: HeldOut) -> Measured:
    """Return what answers have, and whether the better one is preferred, with margins in nats."""
    worse = [
        {"input_ids": example["rejected_ids"], "labels": example["rejected_labels"]}
        for example in rows.examples
    ]
    with arm.model() as model:
        chosen = answer_and_score(arm, rows, model)
        rejected = foretell(model, worse, batch_size=arm.settings.batch_size)
    items = [
        {**item, "rejected": rows.records[item["id"]].rejected, **_preference(item, other)}
        for item, other in zip(chosen.items, rejected, strict=True)
    ]
    return Measured(items, chosen.facts)


def _preference(item: Mapping[str, Any], rejected: Foretold) -> dict[str, Any]:
    margin = rejected.nats - item["loss"] * item["tokens"]
    per_token = rejected.nats / rejected.tokens - item["loss"]
    return {
        "rejected_loss": rejected.nats / rejected.tokens,
        "rejected_tokens": rejected.tokens,
        "prefers_chosen": float(margin > 0),
        "chosen_margin": margin,
        "prefers_per_token": float(per_token > 0),
        "margin_per_token": per_token,
    }
