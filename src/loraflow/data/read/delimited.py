"""Reads CSV and TSV row by row; a broken row takes none of those behind it along."""

import csv
import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from loraflow.data.read.encoding import RawRow, Unreadable, as_utf8, open_text, unreadable_row
from loraflow.data.read.json_text import HEAD_KEPT, LONGEST_RECORD
from loraflow.data.read.unpack import BrokenFileError
from loraflow.data.records import Fault
from loraflow.errors import UserError

_ROWS = 0.9  # share of swallowed lines that must look like rows to be taken for such


def read_delimited(path: Path, delimiter: str) -> Iterator[RawRow]:
    """Yield the rows below the head line, numbered by the line that each begins on.

    Raises:
        UserError: if the first line does not name the columns, each by a name of its own.
    """
    csv.field_size_limit(LONGEST_RECORD)
    with open_text(path) as file:
        lines = _Lines(file, delimiter)
        names = _column_names(lines, path)
        while True:
            line = lines.begin_row()
            cells = lines.read_cells(len(names))
            if cells is None:
                return
            if isinstance(cells, Fault):
                yield line, unreadable_row(cells, lines.give_back(len(names)))
            elif isinstance(text := as_utf8(lines.text()), Unreadable):
                yield line, text
            elif cells:
                yield line, dict(zip(names, cells, strict=True))


class _Lines:
    """Hands lines to the csv module, and takes back those that were swallowed by an open quote."""

    def __init__(self, file: io.TextIOWrapper, delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._rows = csv.reader(self, delimiter=delimiter, strict=True)
        self._row: list[str] = []  # the lines of the present row
        self._again: deque[str] = deque()
        self._read = 0

    def read_head(self) -> list[str]:
        """Return the cells of the first line that is not blank."""
        return next((cells for cells in self._rows if "".join(cells).strip()), [])

    def begin_row(self) -> int:
        """Return the number of the line that comes next."""
        self._row.clear()
        return self._read + 1

    def read_cells(self, number: int) -> list[str] | Fault | None:
        """Return so many cells, none for an empty line, what is wrong with them, or the end."""
        try:
            cells = next(self._rows, None)
        except csv.Error as error:
            return Fault(str(error), f"{number} cells", operator="csv")
        if cells and len(cells) != number:
            return Fault(f"{len(cells)} cells", f"{number} cells", operator="csv")
        return cells

    def text(self) -> str:
        """Return the present row as it stands in the file."""
        return "".join(self._row).rstrip("\r\n")

    def give_back(self, number: int) -> str:
        """Return the text of a broken row: all its lines, or one, if rows were taken for the rest.

        Lines that look like rows are handed out again. Others are not: a comma in a cell of
        several lines would make a row of it.
        """
        others = self._row[1:]
        between = others[:-1] or others  # the last one may be broken too, or begin a longer row
        looks = [self._is_row(line, number) for line in between if not line.isspace()]
        if looks and sum(looks) >= _ROWS * len(looks):
            self._again.extendleft(reversed(others))
            self._read -= len(others)
            del self._row[1:]
        if len(self._row[-1]) > LONGEST_RECORD:
            self._row[-1] = self._row[-1][:HEAD_KEPT]
        return self.text()

    def _is_row(self, line: str, number: int) -> bool:
        try:
            cells = next(csv.reader([line], delimiter=self._delimiter, strict=True))
        except csv.Error:
            return False
        return len(cells) == number

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._next_line()
        if not line:
            raise StopIteration
        self._read += 1
        self._row.append(line)
        if len(line) > LONGEST_RECORD or line[-1] not in "\r\n":
            self._require_whole(line)
        return line

    def _next_line(self) -> str:
        """Read a line, and of one that is too long the head."""
        line = part = self._file.readline(LONGEST_RECORD + 1)
        while len(part) > LONGEST_RECORD:
            part = self._file.readline(LONGEST_RECORD + 1)
        return line

    def _require_whole(self, line: str) -> None:
        if len(line) > LONGEST_RECORD:
            raise csv.Error(f"a line of more than {LONGEST_RECORD} characters")
        try:
            self._file.read(1)  # there is nothing more, unless damage ends the line
        except BrokenFileError as error:
            raise csv.Error(f"the packed file is damaged: {error}") from error


def _column_names(lines: _Lines, path: Path) -> list[str]:
    """Return the cells of the first line that has any; one left empty is named by its number."""
    try:
        cells = lines.read_head()
    except csv.Error as error:
        raise UserError(f"data.path={path} has no readable head line: {error}") from error
    names = [name or f"column {number}" for number, name in enumerate(cells, start=1)]
    text = as_utf8("\t".join(names))
    if isinstance(text, Unreadable):
        raise UserError(
            f"data.path={path} is not UTF-8: {text.fault.value}, the first; "
            "convert the file, e.g. iconv -f GB18030 -t UTF-8"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(
            f"data.path={path}: its first line names the columns, and {', '.join(twice)} stands "
            "there twice; mend the line"
        )
    return names
