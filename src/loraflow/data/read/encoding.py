"""Opens a data file as text, and names the byte of what is not UTF-8."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.data.read.unpack import open_bytes
from loraflow.data.records import Fault
from loraflow.errors import UserError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is no record, as far as it can be shown."""

    fault: Fault
    original: str


RawRow = tuple[int, str | Mapping[str, Any] | Unreadable]
"""Line or record number, counted from 1, and the row: JSON text, or values by column."""


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open `path` as UTF-8; other bytes come through as half surrogate pairs (PEP 383).

    Raises:
        UserError: if it is UTF-16.
    """
    with open_bytes(path) as file:
        strip_mark(file.peek(2)[:2], path)
        with io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
            yield text


def strip_mark(line: bytes, path: Path) -> bytes:
    """Return the first line of a file without the mark that some editors begin UTF-8 with.

    Raises:
        UserError: if the mark is that of UTF-16.
    """
    if line.startswith(_UTF16):
        raise UserError(
            f"data.path={path} is UTF-16 (its first byte is 0x{line[0]:02x}); "
            "convert it: iconv -f UTF-16 -t UTF-8"
        )
    return line.removeprefix(b"\xef\xbb\xbf")


def decode_row(line: bytes) -> str | Unreadable:
    """Return the text, or the row with its first byte that is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        fault = _not_utf8(line[error.start], error.start)
        return Unreadable(fault, line.decode("utf-8", "backslashreplace"))


def as_utf8(text: str) -> str | Unreadable:
    """Return a text that `open_text` has read, or the row with its first byte that is not UTF-8."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        return Unreadable(_not_utf8(byte, len(text[: error.start].encode())), _shown(text))
    return text


def unreadable_row(fault: Fault, original: str) -> Unreadable:
    """Return the row with its fault; in another encoding that is to blame, not what follows."""
    text = as_utf8(original)
    return text if isinstance(text, Unreadable) else Unreadable(fault, text)


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _not_utf8(byte: int, offset: int) -> Fault:
    return Fault(f"byte 0x{byte:02x} at offset {offset} of the row", "UTF-8", operator="encoding")
