"""Raw text to go on training on: Python's language reference, as `help()` shows it, in passages.

The chapters lie in one file of the standard library, which is parsed and never run.
"""

import ast
import io
import platform
import re
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from loraflow.errors import UserError
from loraflow.files import hash_content

_PASSAGE = 1_200  # characters; about 300 tokens
_UNDERLINE = re.compile(r"([*=~-])\1{2,}")

Line = tuple[int, str]
"""A text, and the line of the file on which it begins."""


def read_topics() -> Iterator[tuple[int, dict[str, str]]]:
    """Yield passages of about `_PASSAGE` characters with their line, in the order of the file.

    A passage ends before a heading or at a blank line; a longer paragraph, such as a table, stays
    whole. Chapters that share a section yield the same passages.

    Raises:
        UserError: if this Python comes without the chapters.
    """
    for chapter in _chapters(_file().read_text(encoding="utf-8")):
        for line, passage in _passages(chapter):
            yield line, {"text": passage}


@cache
def hash_topics() -> str:
    """Return a digest of the file that `read_topics` reads; it stays as it is for a run."""
    return f"python-{platform.python_version()}-{hash_content(_file())}"


def _file() -> Path:
    file = Path(sysconfig.get_path("stdlib")) / "pydoc_data" / "topics.py"
    if not file.is_file():
        raise UserError(
            f"data.layout=pydoc_topics reads {file}, and this Python comes without it; "
            "use another Python, or text of your own: data=text data.path=FILE"
        )
    return file


def _chapters(source: str) -> Iterator[list[Line]]:
    """Yield the lines of each value of the file's only dictionary."""
    pieces: list[Line] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING:
            text = ast.literal_eval(token.string).splitlines(keepends=True)
            pieces += enumerate(text, start=token.start[0])
        elif token.string == ":":  # so far it was the key
            pieces = []
        elif token.string in (",", "}") and pieces:
            yield list(_whole_lines(pieces))
            pieces = []


def _whole_lines(pieces: Iterable[Line]) -> Iterator[Line]:
    """Join what the file breaks for its own width."""
    begun: Line | None = None
    for number, piece in pieces:
        start, text = begun or (number, "")
        begun = (start, text + piece)
        if piece.endswith("\n"):
            yield start, begun[1].rstrip()
            begun = None
    if begun:
        yield begun


def _passages(lines: Iterable[Line]) -> Iterator[Line]:
    parts: list[Line] = []
    for part in _paragraphs(lines):
        told = [text for _, text in parts if not _is_heading(text)]
        size = sum(len(text) for _, text in (*parts, part))
        if told and (_is_heading(part[1]) or size > _PASSAGE):
            yield _joined(parts)
            parts = []
        parts.append(part)
    if parts:
        yield _joined(parts)


def _paragraphs(lines: Iterable[Line]) -> Iterator[Line]:
    for blank, group in groupby(lines, key=lambda line: not line[1].strip()):
        if not blank:
            together = list(group)
            yield together[0][0], "\n".join(text for _, text in together)


def _is_heading(paragraph: str) -> bool:
    lines = paragraph.split("\n")
    return len(lines) > 1 and _UNDERLINE.fullmatch(lines[1]) is not None


def _joined(parts: list[Line]) -> Line:
    return parts[0][0], "\n\n".join(text for _, text in parts)
