"""What it costs to hold a tuned model in fewer bits: memory, speed, quality, measured side by side.

Each way is measured on the same held-out rows; differences are paired with full precision.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loraflow.compare.aggregate import aggregate, differences
from loraflow.compare.statistics import Difference, Interval
from loraflow.files import ITEMS, read_json, read_lines

QUALITY = ("loss", "rougeL")
_HEAD = ("held as", "adapter", "weights, GiB", "tokens/s", "loss", "ROUGE-L")


@dataclass(frozen=True)
class Way:
    """One way to hold base and adapter."""

    method: str  # none, int8, nf4, as quantization.method has it
    merged: bool  # the adapter in the weights before they were quantized, or beside them

    @property
    def name(self) -> str:
        """What tables and metrics call it."""
        return f"{self.method} {'merged' if self.merged else 'beside'}"


WAYS = (
    Way("none", False),
    Way("int8", False),
    Way("nf4", False),
    Way("int8", True),
    Way("nf4", True),
)


@dataclass(frozen=True)
class Precision:
    """What one way costs and gives."""

    way: Way
    weights_gib: float
    tokens_per_second: float | None  # None: the answers were there already
    quality: Mapping[str, Interval]
    differences: Mapping[str, Difference]  # to full precision; none for itself


def compare_precisions(folders: Mapping[Way, Path]) -> list[Precision]:
    """Compare outputs of the stage `evaluate`; the first is what the others are compared with."""
    items = {way: read_lines(folder / ITEMS) for way, folder in folders.items()}
    first = next(iter(items))
    rows = []
    for way, folder in folders.items():
        result = read_json(folder / "result.json")
        quality, gaps = aggregate(items[way]), differences(items[first], items[way])
        rows.append(
            Precision(
                way,
                result["weights_gib"],
                result.get("speed", {}).get("tokens_per_second"),
                {name: quality[name] for name in QUALITY if name in quality},
                {name: gaps[name] for name in QUALITY if name in gaps and way != first},
            )
        )
    return rows


def precision_metrics(rows: Sequence[Precision]) -> dict[str, float]:
    """Return the table as metrics."""
    metrics: dict[str, float] = {}
    for row in rows:
        name = row.way.name.replace(" ", "_")
        metrics[f"quantize/{name}_weights_gib"] = row.weights_gib
        if row.tokens_per_second is not None:
            metrics[f"quantize/{name}_tokens_per_second"] = row.tokens_per_second
        for metric, found in row.quality.items():
            metrics[f"quantize/{name}_{metric}"] = found.value
        for metric, gap in row.differences.items():
            for part, value in vars(gap).items():
                metrics[f"quantize/{name}_{metric}_difference_{part}"] = value
    return metrics


def precision_markdown(rows: Sequence[Precision], items: int) -> str:
    """Return the table for MLflow, the dashboard and a README."""
    lines = [
        f"{items} held-out rows; 95% intervals; differences paired with full precision.",
        "",
        f"| {' | '.join(_HEAD)} |",
        "| --- | --- | ---: | ---: | --- | --- |",
        *(f"| {' | '.join(_cells(row, rows[0]))} |" for row in rows),
    ]
    return "\n".join(lines)


def show_precisions(rows: Sequence[Precision], items: int, places: Mapping[str, str]) -> None:
    """Print the table, and `places` (label -> where)."""
    console = Console()
    table = Table(title=f"The tuned model in fewer bits, on {items} held-out rows")
    for name in _HEAD:
        table.add_column(name, justify="right" if name in _HEAD[2:4] else "left")
    for row in rows:
        table.add_row(*_cells(row, rows[0]))
    console.print(table)
    for label, where in places.items():
        console.print(f"{label:<12}", where, soft_wrap=True, highlight=False)


def _cells(row: Precision, first: Precision) -> Iterator[str]:
    yield "full precision" if row.way.method == "none" else row.way.method
    yield "merged, then quantized" if row.way.merged else "beside the base"
    yield f"{row.weights_gib:.3f} ({100 * row.weights_gib / first.weights_gib:.0f} %)"
    if row.tokens_per_second is None or first.tokens_per_second is None:
        yield "-"
    else:
        share = 100 * row.tokens_per_second / first.tokens_per_second
        yield f"{row.tokens_per_second:.0f} ({share:.0f} %)"
    for metric in QUALITY:
        if metric not in row.quality:
            yield "-"
            continue
        text = f"{row.quality[metric].value:.3f}"
        if gap := row.differences.get(metric):
            text += f", {gap.mean:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
        yield text
