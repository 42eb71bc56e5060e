"""Shows an A/B test in the terminal: the verdict, one column an arm, where everything is."""

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loraflow.page.text import visible
from loraflow.serve.traffic.gather import Report
from loraflow.serve.traffic.report.words import (
    count_text,
    difference_of,
    finish_text,
    gap_text,
    notes_of,
    p_text,
    rate_text,
    seconds_text,
)

_STYLES = {"better": "bold green", "worse": "bold red"}


def show_report(report: Report, places: Mapping[str, str]) -> None:
    """Print the verdict, the arms, what has to be known, and `places`."""
    console = Console()
    console.print()
    style = _STYLES.get(report.verdict, "bold")
    console.print(Text(f"{report.sentence}.", style=style), soft_wrap=True)
    console.print()
    console.print(_table(report))
    if (found := difference_of(report)) is not None:
        console.print(
            f"difference {gap_text(found)}, p {p_text(report)}: both hold however often one looks",
            soft_wrap=True,
            highlight=False,
        )
    for note in notes_of(report):
        console.print(Text(f"* {visible(note)}"), soft_wrap=True)
    console.print()
    for label, where in places.items():
        console.print(f"{label:<12}", Text(where), soft_wrap=True, highlight=False)


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("")
    arms = report.traffic.arms
    for arm in arms:
        table.add_column(f"{arm.adapter.arm}, {visible(arm.adapter.short)}", justify="right")
    rows = {
        "requests": [f"{arm.requests:,}" for arm in arms],
        "users who rate": [f"{arm.raters:,}" for arm in arms],
        "thumbs up / down": [f"{arm.up:,} / {arm.down:,}" for arm in arms],
        "share up": [rate_text(arm) for arm in arms],
        "votes": [f"{_votes(report, arm.adapter.arm):,}" for arm in arms],
        "first token, p50 / p95": [seconds_text(arm.first_token_seconds) for arm in arms],
        "whole answer, p50 / p95": [seconds_text(arm.seconds) for arm in arms],
        "answer tokens, p50 / p95": [count_text(arm.answer_tokens) for arm in arms],
        "ended": [finish_text(arm) for arm in arms],
    }
    for name, cells in rows.items():
        table.add_row(name, *(Text(visible(cell), justify="right") for cell in cells))
    return table


def _votes(report: Report, arm: str) -> int:
    return sum(vote.arm == arm for vote in report.votes.cast)
