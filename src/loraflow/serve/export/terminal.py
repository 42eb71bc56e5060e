"""Prints what was exported, how far it is from the adapter, and where it is."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from loraflow.serve.export.card import RoundTrip

_HEAD = ("against the adapter in float32", "largest logit", "mean", "same tokens", "same answers")


def show_export(trip: RoundTrip, places: Mapping[str, str]) -> None:
    """Print the table of differences, and `places` (label -> where)."""
    console = Console()
    if trip.gaps:
        table = Table(title=f"Difference from the adapter, on {trip.prompts}")
        for place, name in enumerate(_HEAD):
            table.add_column(name, justify="right" if place else "left")
        for gap in trip.gaps:
            table.add_row(
                gap.what,
                f"{gap.largest:.3g}",
                f"{gap.mean:.3g}",
                f"{100 * gap.same_tokens:.1f}%",
                f"{gap.same_answers} of {gap.answers}",
            )
        console.print(table)
    for label, where in places.items():
        console.print(f"{label:<12}", where, soft_wrap=True, highlight=False, markup=False)
