"""Shows in the terminal, and in Prefect, what became of the rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loraflow.files import read_json

_BAR = 20  # characters that stand for all rows


def show_data(prepared: Path, places: Mapping[str, str]) -> None:
    """Print the funnel of a prepared folder and `places` (label -> where)."""
    result = read_json(prepared / "result.json")
    console = Console()
    console.print()
    if _active(result):
        console.print(_funnel(result))
    console.print(_counted(result["counts"]), soft_wrap=True)
    for warning in result["warnings"]:
        console.print(Text(warning, style="yellow"), soft_wrap=True)
    for label, where in places.items():
        console.print(f"{label:<12}", Text(where), soft_wrap=True, highlight=False)


def funnel_markdown(prepared: Path) -> str:
    """Return the counts and the operators that touched a row, as a Markdown table."""
    result = read_json(prepared / "result.json")
    rows = [
        f"| {step['operator']} | {step['rows_in']:,} | {step['edited']:,} | {step['rejected']:,} |"
        for step in _active(result)
    ]
    head = ["| operator | rows in | edited | set aside |", "|---|---:|---:|---:|"]
    return "\n".join([_counted(result["counts"]), "", *head, *rows])


def _funnel(result: Mapping[str, Any]) -> Table:
    read = max(result["counts"]["read"], 1)
    table = Table(title="Rows, operator by operator")
    table.add_column("operator")
    for name in ("rows in", "edited", "set aside"):
        table.add_column(name, justify="right")
    table.add_column("rows left")
    for step in _active(result):
        left = step["rows_in"] - step["rejected"]
        bar = Text("█" * round(_BAR * left / read), style="cyan")
        bar.append("█" * round(_BAR * step["rejected"] / read), style="red")
        cells = [f"{step[name]:,}" for name in ("rows_in", "edited", "rejected")]
        table.add_row(step["operator"], *cells, bar)
    return table


def _active(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [step for step in result["funnel"] if step["edited"] or step["rejected"]]


def _counted(counts: Mapping[str, int]) -> str:
    return (
        f"{counts['read']:,} rows read = {counts['train']:,} to train on + "
        f"{counts['held_out']:,} held out + {counts['unused']:,} unused + "
        f"{counts['rejected']:,} set aside"
    )
