"""JSON as it is met: finds the records of a long list piece by piece, and parses one of them."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson

from loraflow.data.read.unpack import BrokenFileError
from loraflow.data.records import Fault

LONGEST_RECORD = 64 * 2**20  # characters; one that is longer is set aside, and its head kept
HEAD_KEPT = 2**20
_PIECE = 2**17  # a fault costs time in proportion: json counts the lines before it
_PATIENCE = 1_000  # objects tried in a broken place; from then on fewer and fewer of them
_AT_THE_END = 16  # characters: a fault this near to the end may be a piece not yet read

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[\s,\ufeff]*")
_NEXT_OBJECT = re.compile(r'(?:[}\]]\s*,\s*|\n)(?=\{\s*["}])')  # in a list, or one to a line
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)


_LONG_NUMBER = re.compile(r"\d{19}")


def parse_json(text: str) -> Any:
    """Return the value, or a `Fault` if it is no JSON or would lose one of two equal keys."""
    try:
        value = _load(text)
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits
        return Fault(str(error)[:200], "one JSON value", operator="json")
    if text.count(":") > 1 and _count_pairs(value) != _STRING.sub("", text).count(":"):
        return Fault("a key stands twice in an object", "each key once", operator="json")
    return value


def _load(text: str) -> Any:
    """Read fast what orjson reads whole: of an integer above 64 bits it would lose digits."""
    if not _LONG_NUMBER.search(text):
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(text)
    return json.loads(text)  # knows NaN, and half surrogate pairs, which are found later


def _count_pairs(value: Any) -> int:
    """Count keys of all objects inside; a list of the values still to visit keeps it flat."""
    pairs = 0
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            pairs += len(value)
            waiting.extend(part for part in value.values() if isinstance(part, dict | list))
        elif isinstance(value, list):
            waiting.extend(part for part in value if isinstance(part, dict | list))
    return pairs


def scan_values(file: io.TextIOBase) -> Iterator[str | tuple[Fault, str]]:
    """Yield the text of each record of a JSON list, or of JSON values one after the other.

    What cannot be read comes out as a fault with its text; the next object after it is sought.
    """
    scanner = _Scanner(file)
    listed = unclosed = scanner.skip("[")
    found: str | tuple[Fault, str] = ""
    while not scanner.ended():
        if not (listed and scanner.skip("]")):
            found = scanner.value()
            yield found
            continue
        unclosed = scanner.skip("[")  # another list, as `cat` joins them
        if not (unclosed or scanner.ended()):
            yield scanner.skip_broken("text after the list", "nothing")
    if unclosed and isinstance(found, str):
        yield Fault("the list is not closed", "]", operator="json"), ""


class _Scanner:
    """A window on the text that grows until it holds the whole of the next value.

    It always stands at a value or a bracket, never at the space and the commas before one.
    """

    def __init__(self, file: io.TextIOBase) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._complete = False
        self._skip_space()

    def skip(self, character: str) -> bool:
        found = self._text.startswith(character, self._at)
        if found:
            self._move(1)
        return found

    def ended(self) -> bool:
        return self._at >= len(self._text)

    def value(self) -> str | tuple[Fault, str]:
        """Return the text of the value that begins here."""
        length = self._measure(0)
        if isinstance(length, str):
            return self.skip_broken(length, "one JSON value")
        return self._move(length)

    def skip_broken(self, reason: str, expected: str) -> tuple[Fault, str]:
        """Go to the next object that can be read, or to the end; return the text passed over."""
        head = ""  # of a text too long to be held
        length = tries = 0
        while True:
            match = _NEXT_OBJECT.search(self._text, self._at + length)
            if match is not None:
                length = match.end() - self._at
                if isinstance(self._measure(length), int):
                    break
                tries += 1
                length += max(0, tries - _PATIENCE)
            elif not self._grow():
                length = len(self._text) - self._at
                break
            elif len(self._text) - self._at > LONGEST_RECORD:
                head = head or self._text[self._at : self._at + HEAD_KEPT]
                self._at, length = len(self._text) - _AT_THE_END, 0
        passed = self._move(length)
        return Fault(reason, expected, operator="json"), (head or passed).rstrip(", \t\r\n")

    def _measure(self, ahead: int) -> int | str:
        """Return the length of the value that begins `ahead` from here, or why there is none."""
        while True:
            start = self._at + ahead
            try:
                end = _DECODER.raw_decode(self._text, start)[1]
            except RecursionError:
                return "nested too deeply"
            except json.JSONDecodeError as error:
                if not (self._may_be_cut(error, start) and self._grow()):
                    return f"{error.msg} (character {error.pos - start + 1})"
            except ValueError as error:  # a number of 5,000 digits
                return str(error)[:200]
            else:
                last = self._text[end - 1]  # of a number, which may go on
                if last in '}]"' or end < len(self._text) - _AT_THE_END or not self._grow():
                    return end - start

    def _may_be_cut(self, error: json.JSONDecodeError, start: int) -> bool:
        if len(self._text) - start > LONGEST_RECORD:
            return False
        return "Unterminated" in error.msg or error.pos >= len(self._text) - _AT_THE_END

    def _move(self, length: int) -> str:
        """Go on to the next value behind `length` characters, and return these."""
        start = self._at
        self._at += length
        passed = self._text[start : self._at]
        self._skip_space()
        return passed

    def _skip_space(self) -> None:
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or not self._grow():
                return

    def _grow(self) -> bool:
        """Read on, at least as much as is waiting, and drop what has been used."""
        if self._complete:
            return False
        waiting = len(self._text) - self._at
        try:
            more = self._file.read(max(_PIECE, waiting))
        except BrokenFileError:
            more = ""  # what came before the damage can still be read
        self._complete = not more
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)
