"""Every metric of an evaluation: what it means, and how it comes from the items of a set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loraflow.compare import corpus
from loraflow.compare.statistics import Array, Value, ratio, weighted

Item = Mapping[str, Any]
"""What an arm made of one item: fields such as "rougeL", "loss" and "tokens"."""
Sums = Callable[[Sequence[Item]], Array]


@dataclass(frozen=True)
class Metric:
    """A number of a set of items that is a function of sums over them."""

    meaning: str
    larger_is_better: bool | None  # None: neither, it only describes
    needs: str  # the field without which an item is not counted
    weight: str | None = None  # what an item counts for in a mean; None: 1
    sums: Sums | None = None  # None: the mean of the field `needs`
    value: Value = ratio
    is_share: bool = False  # of items that are 0 or 1
    margin: float = 0.02  # a smaller difference is none, unless the user says otherwise

    def of(self, items: Sequence[Item]) -> Array:
        """Return a row of sums for each item."""
        if self.sums is not None:
            return self.sums(items)
        weights = [item.get(self.weight, 1) for item in items] if self.weight else None
        return weighted([float(item[self.needs]) for item in items], weights)


def _counts(field: str) -> Sums:
    return lambda items: np.array([item[field] for item in items], dtype=float)


def _labels(items: Sequence[Item]) -> Array:
    """Count, for each label: given rightly, given, right."""
    labels = sorted({item[side] for item in items for side in ("reference", "answer")})
    table = np.zeros((len(items), len(labels), 3))
    places = {label: place for place, label in enumerate(labels)}
    for row, item in enumerate(items):
        given, right = places[item["answer"]], places[item["reference"]]
        table[row, given, 1] = table[row, right, 2] = 1
        table[row, given, 0] = float(given == right)
    return table.reshape(len(items), -1)


def _nats(items: Sequence[Item]) -> Array:
    return weighted([item["loss"] for item in items], [item["tokens"] for item in items])


def _exponential(sums: Array) -> Array:
    grown: Array = np.exp(ratio(sums))
    return grown


METRICS: dict[str, Metric] = {  # in the order of tables
    "accuracy": Metric("share of right labels", True, "correct", is_share=True),
    "precision": Metric(
        "mean over labels of right ones among those given",
        True,
        "correct",
        None,
        _labels,
        corpus.macro_precision,
    ),
    "recall": Metric(
        "mean over labels of those found", True, "correct", None, _labels, corpus.macro_recall
    ),
    "f1": Metric(
        "mean over labels of precision and recall together",
        True,
        "correct",
        None,
        _labels,
        corpus.macro_f1,
    ),
    "choice_accuracy": Metric(
        "share of likeliest options that are right", True, "choice_correct", is_share=True
    ),
    "choice_accuracy_norm": Metric(
        "the same, likelihood per byte of the option", True, "choice_correct_norm", is_share=True
    ),
    "exact_match": Metric(
        "share of answers that are the reference", True, "exact_match", is_share=True
    ),
    "bleu": Metric(
        "n-grams shared with the reference, 0 to 100",
        True,
        "bleu_counts",
        None,
        _counts("bleu_counts"),
        corpus.bleu,
        margin=1.0,
    ),
    "chrf": Metric(
        "character n-grams shared with the reference, 0 to 100",
        True,
        "chrf_counts",
        None,
        _counts("chrf_counts"),
        corpus.chrf,
        margin=1.0,
    ),
    "rouge1": Metric("words shared with the reference, 0 to 1", True, "rouge1"),
    "rouge2": Metric("pairs of words shared with the reference", True, "rouge2"),
    "rougeL": Metric("longest run of words shared, gaps allowed", True, "rougeL"),
    "prefers_chosen": Metric(
        "share of pairs, the better answer likelier", True, "prefers_chosen", is_share=True
    ),
    "chosen_margin": Metric(
        "nats by which the better answer is likelier", True, "chosen_margin", margin=0.2
    ),
    "prefers_per_token": Metric(
        "the same share, per token", True, "prefers_per_token", is_share=True
    ),
    "margin_per_token": Metric("the same margin, per token", True, "margin_per_token"),
    "loss": Metric("nats a token of the reference", False, "loss", "tokens"),
    "perplexity": Metric("e to the loss", False, "tokens", None, _nats, _exponential, margin=0.5),
    "bits_per_byte": Metric("bits a byte of the reference's text", False, "bits_per_byte", "bytes"),
    "token_accuracy": Metric(
        "share of the reference's tokens foretold", True, "token_accuracy", "tokens"
    ),
    "judge_rating": Metric("the judge's rating, 1 to 10", True, "judge_rating", margin=0.3),
    "answer_characters": Metric("characters of an answer", None, "answer_characters"),
    "refusal_share": Metric("share of answers that refuse", None, "refusal", is_share=True),
    "repetition": Metric("share of an answer that repeats itself", False, "repetition"),
    "cut_share": Metric("share of answers cut at max_new_tokens", False, "cut", is_share=True),
    "self_consistency": Metric("likeness of several drawn answers", None, "self_consistency"),
}


def counted(metric: Metric, items: Sequence[Item]) -> list[int]:
    """Return the places of the items that the metric counts."""
    return [place for place, item in enumerate(items) if item.get(metric.needs) is not None]


def prompts_of(items: Sequence[Item]) -> list[str | int]:
    """Name the prompt of each item: rows that share one are no independent items.

    Where no prompt was recorded, as of raw text, each item is one of its own, named by its place.
    """
    return [item.get("prompt_id", place) for place, item in enumerate(items)]
