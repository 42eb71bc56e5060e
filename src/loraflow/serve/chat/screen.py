"""Shows answers while they are written: one as it flows, two in columns."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from loraflow.serve.chat.partner import Partner
from loraflow.serve.engine.wish import Piece

_NOTES = {"length": " ✂ cut at chat.max_tokens", "failed": " ✗ the model failed; see the log"}


class Screen:
    """A terminal, or a file that gets plain text."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self._console = console

    def note(self, text: str) -> None:
        """Say something that no model has said."""
        self._console.print(text, style="dim", markup=False, highlight=False)

    def show(
        self, partners: Sequence[Partner], pieces: Iterator[tuple[int, Piece]]
    ) -> Iterator[list[str]]:
        """Show pieces as they come; yield the texts so far behind each, so that none is lost."""
        return self._flow(pieces) if len(partners) == 1 else self._columns(partners, pieces)

    def _flow(self, pieces: Iterator[tuple[int, Piece]]) -> Iterator[list[str]]:
        text = ""
        for _, piece in pieces:
            text += piece.text
            self._console.out(piece.text, end="", highlight=False)
            if note := _note(piece, text):
                self._console.print(note, style="dim", end="")
            yield [text]
        self._console.print()

    def _columns(
        self, partners: Sequence[Partner], pieces: Iterator[tuple[int, Piece]]
    ) -> Iterator[list[str]]:
        texts, notes = [""] * len(partners), [""] * len(partners)
        with Live(console=self._console, vertical_overflow="visible", auto_refresh=False) as live:
            for number, piece in pieces:
                texts[number] += piece.text
                notes[number] = _note(piece, texts[number])
                live.update(_table(partners, texts, notes), refresh=self._console.is_terminal)
                yield texts


def _note(piece: Piece, text: str) -> str:
    """Return what is to be said of an answer's end."""
    if piece.finish == "stop" and not text:
        return "(nothing)"
    return _NOTES.get(piece.finish or "", "")


def _table(partners: Sequence[Partner], texts: Sequence[str], notes: Sequence[str]) -> Table:
    table = Table(expand=True, show_lines=False)
    for partner in partners:
        table.add_column(partner.name, ratio=1, overflow="fold")
    table.add_row(
        *(Text.assemble(text, (note, "dim")) for text, note in zip(texts, notes, strict=True))
    )
    return table
