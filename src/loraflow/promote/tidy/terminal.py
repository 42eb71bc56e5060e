"""Shows in the terminal what tidying removes, or would, and why the rest stays."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table

from loraflow.promote.tidy.tidy import GIB, Piece

_MOST = 40  # rows; the sum has all
_WHY = {
    "leftover": "left by a process that died",
    "unfinished": "unfinished, and nobody is at it",
    "output": "not used for the longest time",
    "artifacts": "weights of an old night",
}


def show_pieces(title: str, pieces: Sequence[Piece]) -> None:
    """Print a table of pieces, their sizes and reasons."""
    console = Console()
    total = sum(piece.size for piece in pieces) / GIB
    console.print(f"\n[bold]{title}[/]: {len(pieces)} folders, {total:.2f} GiB")
    if not pieces:
        return
    table = Table("what", "last used", "GiB", "why")
    table.columns[2].justify = "right"
    for piece in pieces[:_MOST]:
        what = "/".join(piece.path.parts[-2:])
        used = datetime.fromtimestamp(piece.used).astimezone()
        table.add_row(what, f"{used:%Y-%m-%d %H:%M}", f"{piece.size / GIB:.3f}", _why(title, piece))
    console.print(table)
    if len(pieces) > _MOST:
        console.print(f"and {len(pieces) - _MOST} more")


def _why(title: str, piece: Piece) -> str:
    if piece.needed:
        return f"needed by {piece.needed}"
    return "there is room" if title == "would stay" else _WHY[piece.kind]
