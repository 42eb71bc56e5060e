"""Writes the history of all nights as a file."""

from collections.abc import Sequence
from pathlib import Path

from loraflow.promote.history.render import render
from loraflow.promote.record import NightRecord

PAGE = "history.html"


def write_history(records: Sequence[NightRecord], out: Path) -> Path:
    """Write history.html, complete in itself, to the folder `out`, and return it.

    Who reads it meanwhile sees the old page or the new one.
    """
    out.mkdir(parents=True, exist_ok=True)
    partial, page = out / f".{PAGE}.partial", out / PAGE
    partial.write_text(render(records), encoding="utf-8", errors="backslashreplace")
    partial.replace(page)
    return page
