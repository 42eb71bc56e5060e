"""Writes the rank report as files."""

from pathlib import Path

from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.markdown import as_markdown
from loraflow.sweep.report.picture import quality_picture
from loraflow.sweep.report.render import render


def write(page: RankPage, out: Path) -> None:
    """Write rank.html, complete in itself, rank.md and rank.png to the folder `out`."""
    html = render(page)
    (out / "rank.html").write_text(html, encoding="utf-8", errors="backslashreplace")
    text = as_markdown(page) + "\n"
    (out / "rank.md").write_text(text, encoding="utf-8", errors="backslashreplace")
    (out / "rank.png").write_bytes(quality_picture(page))
