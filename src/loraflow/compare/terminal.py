"""Shows a comparison in the terminal: scores, a few answers side by side, where everything is."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loraflow.compare.base_vs_tuned import Comparison, Row

_SHOWN_ANSWERS = 3


def show_comparison(comparison: Comparison, places: Mapping[str, str]) -> None:
    """Print the table base against tuned, sample answers, and `places` (label -> where)."""
    console = Console()
    console.print()
    console.print(_scores(comparison))
    if comparison.note:
        console.print(Text(comparison.note), soft_wrap=True)
    for item in comparison.items[:_SHOWN_ANSWERS]:
        if "base_answer" in item:  # raw text is read, not answered
            console.print(_answers(item))
    for label, where in places.items():
        console.print(f"{label:<12}", Text(where), soft_wrap=True, highlight=False)


def _scores(comparison: Comparison) -> Table:
    table = Table(title=f"Base against tuned on {len(comparison.items)} held-out rows")
    table.add_column("metric")
    for name in ("base", "tuned", "difference", "95% interval"):
        table.add_column(name, justify="right")
    for row in comparison.rows:
        table.add_row(
            row.metric, f"{row.base:.4g}", f"{row.tuned:.4g}", _difference(row), row.interval()
        )
    return table


def _difference(row: Row) -> Text:
    change = row.tuned - row.base
    if row.difference is None or row.difference.low <= 0 <= row.difference.high:
        return Text(f"{change:+.4g}")  # inside the noise, or without a measure of it
    better = (change > 0) == row.larger_is_better
    return Text(f"{change:+.4g}", style="green" if better else "red")


def _answers(item: Mapping[str, Any]) -> Table:
    table = Table(title=Text(_shorten(" ".join(item["prompt"].split()))), title_justify="left")
    for name in ("reference", "base", "tuned"):
        table.add_column(name, ratio=1, overflow="fold")
    texts = (item["reference"], item["base_answer"], item["tuned_answer"])
    table.add_row(*(Text(_shorten(text)) for text in texts))
    return table


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
