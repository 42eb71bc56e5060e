"""Base model against tuned model on the same held-out rows: the table and the answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.compare.statistics import Difference, paired_difference
from loraflow.files import ITEMS, read_json, read_lines

# metric -> whether a larger value is better
_METRICS = {
    "bleu": True,
    "rouge1": True,
    "rouge2": True,
    "rougeL": True,
    "loss": False,
    "perplexity": False,
    "cut_share": False,  # of answers that did not end within evaluate.max_new_tokens
}


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
    items: list[dict[str, Any]]  # id, prompt, reference, base_answer, tuned_answer, scores

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
        return "\n".join(lines)


def compare(base: Path, tuned: Path) -> Comparison:
    """Compare two outputs of the stage `evaluate` on the same items."""
    pairs = list(zip(read_lines(base / ITEMS), read_lines(tuned / ITEMS), strict=True))
    metrics = [read_json(folder / "result.json")["metrics"] for folder in (base, tuned)]
    rows = [
        Row(
            name,
            metrics[0][name],
            metrics[1][name],
            larger_is_better,
            _difference(name, pairs),
        )
        for name, larger_is_better in _METRICS.items()
    ]
    return Comparison(rows, [_side_by_side(*pair) for pair in pairs])


def _difference(
    metric: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]
) -> Difference | None:
    if metric not in pairs[0][0]:
        return None
    return paired_difference(
        [tuned[metric] for _, tuned in pairs],
        [base[metric] for base, _ in pairs],
        weights=[base["tokens"] for base, _ in pairs] if metric == "loss" else None,
    )


def _side_by_side(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> dict[str, Any]:
    shared = {name: base[name] for name in ("id", "prompt", "reference")}
    arms = {"base": base, "tuned": tuned}
    answers = {f"{arm}_answer": row["answer"] for arm, row in arms.items()}
    scores = {
        f"{arm}_{name}": round(row[name], 4)
        for name in ("rouge1", "rouge2", "rougeL", "loss")
        for arm, row in arms.items()
    }
    return {**shared, **answers, **scores}
