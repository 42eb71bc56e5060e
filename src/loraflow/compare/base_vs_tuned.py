"""Base model against tuned model on the same held-out rows: the table and the answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.compare.statistics import Difference, paired_difference
from loraflow.files import ITEMS, read_json, read_lines


@dataclass(frozen=True)
class _Metric:
    larger_is_better: bool
    of_item: str | None = None  # its name in the items; None: a number of the whole set
    weight: str | None = None  # what an item counts for in the mean, where it has it


_METRICS = {  # of all tasks; a comparison has those that both arms were measured by
    "accuracy": _Metric(True, "correct"),
    "precision": _Metric(True),
    "recall": _Metric(True),
    "f1": _Metric(True),
    "bleu": _Metric(True),
    "rouge1": _Metric(True, "rouge1"),
    "rouge2": _Metric(True, "rouge2"),
    "rougeL": _Metric(True, "rougeL"),
    "prefers_chosen": _Metric(True, "prefers_chosen"),
    "chosen_margin": _Metric(True, "chosen_margin"),
    "prefers_per_token": _Metric(True, "prefers_per_token"),
    "margin_per_token": _Metric(True, "margin_per_token"),
    "loss": _Metric(False, "loss", "tokens"),
    "perplexity": _Metric(False),
    "bits_per_byte": _Metric(False, "bits_per_byte", "bytes"),
    "cut_share": _Metric(False),  # of answers that did not end within evaluate.max_new_tokens
}
_SHARED = ("id", "prompt", "text", "reference", "rejected")  # what both arms were shown


@dataclass(frozen=True)
class Row:
    """One metric of both arms."""

    metric: str
    base: float
    tuned: float
    larger_is_better: bool
    difference: Difference | None  # none for metrics of the whole set, which have no item values

    def interval(self) -> str:
        """Return the 95% interval of the difference, as text."""
        return (
            f"{self.difference.low:+.3f} to {self.difference.high:+.3f}" if self.difference else "-"
        )


@dataclass(frozen=True)
class Comparison:
    """Both arms, metric by metric and item by item."""

    rows: list[Row]
    items: list[dict[str, Any]]  # what was asked, base_answer and tuned_answer if any, scores
    note: str = ""  # what has to be known to read the table

    def differences(self) -> dict[str, float]:
        """Return the paired differences and their interval as metrics to log."""
        return {
            f"compare/{row.metric}_{part}": value
            for row in self.rows
            if row.difference
            for part, value in vars(row.difference).items()
        }

    def as_markdown(self) -> str:
        """Return the table for MLflow and the Prefect dashboard."""
        lines = [
            f"Base against tuned on {len(self.items)} held-out rows, paired 95% intervals",
            "",
            "| metric | base | tuned | difference | 95% interval |",
            "| --- | ---: | ---: | ---: | :---: |",
        ]
        for row in self.rows:
            change, interval = row.tuned - row.base, row.interval()
            lines.append(
                f"| {row.metric} | {row.base:.4g} | {row.tuned:.4g} | {change:+.4g} | {interval} |"
            )
        return "\n".join([*lines, "", self.note] if self.note else lines)


def compare(base: Path, tuned: Path) -> Comparison:
    """Compare two outputs of the stage `evaluate` on the same items."""
    pairs = list(zip(read_lines(base / ITEMS), read_lines(tuned / ITEMS), strict=True))
    results = [read_json(folder / "result.json") for folder in (base, tuned)]
    of_base, of_tuned = (result["metrics"] for result in results)
    rows = [
        Row(
            name, of_base[name], of_tuned[name], metric.larger_is_better, _difference(metric, pairs)
        )
        for name, metric in _METRICS.items()
        if name in of_base and name in of_tuned
    ]
    note = str(results[0].get("note", ""))
    return Comparison(rows, [_side_by_side(*pair) for pair in pairs], note)


def _difference(
    metric: _Metric, pairs: list[tuple[dict[str, Any], dict[str, Any]]]
) -> Difference | None:
    name, first = metric.of_item, pairs[0][0]
    if name is None:
        return None
    return paired_difference(
        [tuned[name] for _, tuned in pairs],
        [base[name] for base, _ in pairs],
        weights=[base[metric.weight] for base, _ in pairs] if metric.weight in first else None,
    )


def _side_by_side(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> dict[str, Any]:
    arms = {"base": base, "tuned": tuned}
    scores = [
        metric.of_item
        for metric in _METRICS.values()
        if metric.of_item is not None and metric.of_item in base
    ]
    return {
        **{name: base[name] for name in _SHARED if name in base},
        **{f"{arm}_answer": row["answer"] for arm, row in arms.items() if "answer" in row},
        **{f"{arm}_{name}": round(row[name], 4) for name in scores for arm, row in arms.items()},
    }
