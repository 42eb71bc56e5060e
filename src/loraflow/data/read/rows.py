"""Reads a data file as a stream of numbered rows, the unreadable ones with the reason."""

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import pyarrow as pa

from loraflow.data.read.delimited import read_delimited
from loraflow.data.read.encoding import (
    RawRow,
    Unreadable,
    as_utf8,
    decode_row,
    open_text,
    strip_mark,
    unreadable_row,
)
from loraflow.data.read.json_text import HEAD_KEPT, LONGEST_RECORD, scan_values
from loraflow.data.read.unpack import PACKED, BrokenFileError, open_bytes
from loraflow.data.records import Fault
from loraflow.data.tables import read_batches
from loraflow.errors import UserError

__all__ = ["READERS", "RawRow", "Unreadable", "format_of", "read_raw", "reader_of"]

_ROWS_AT_ONCE = 200  # of a table; each may be a book


def read_raw(path: Path) -> Iterator[RawRow]:
    """Yield every row of the file, in order; a damaged place is a row too.

    Raises:
        UserError: if it is no file of its suffix's format.
    """
    number = 0
    try:
        for number, row in reader_of(path)(path):
            yield number, row
    except BrokenFileError as error:
        fault = Fault(f"the packed file is damaged: {error}", "a whole file", operator="file")
        yield number + 1, Unreadable(fault, "")
    except OSError as error:
        raise UserError(f"data.path={path} cannot be read: {error.strerror or error}") from error


def reader_of(path: Path) -> Callable[[Path], Iterator[RawRow]]:
    """Return what reads a file of this name.

    Raises:
        UserError: for a suffix that names no known format.
    """
    reader = READERS.get(format_of(path))
    if reader is None:
        raise UserError(
            f"data.path={path} has no suffix of a known format; name the file {', '.join(READERS)} "
            f"(also with {' or '.join(PACKED)} behind it)"
        )
    return reader


def format_of(path: Path) -> str:
    """Return the suffix that names the format, in lower case and without that of a packer."""
    packed = path.suffix.lower() in PACKED
    return (Path(path.stem) if packed else path).suffix.lower()


def _read_json_lines(path: Path) -> Iterator[RawRow]:
    with open_bytes(path) as file:
        for number in count(1):
            line = file.readline(LONGEST_RECORD)
            if not line:
                return
            whole = len(line) < LONGEST_RECORD or line.endswith(b"\n")
            if number == 1:
                line = strip_mark(line, path)
            if not whole:
                yield number, _too_long(file, line)
            elif text := line.strip():
                yield number, decode_row(text)


def _too_long(file: "io.BufferedReader[io.RawIOBase]", head: bytes) -> Unreadable:
    length = len(head)
    while part := file.readline(LONGEST_RECORD):
        length += len(part)
        if part.endswith(b"\n"):
            break
    fault = Fault(f"{length} bytes", f"at most {LONGEST_RECORD} bytes a line", operator="json")
    return Unreadable(fault, head[:HEAD_KEPT].decode("utf-8", "backslashreplace"))


def _read_json(path: Path) -> Iterator[RawRow]:
    with open_text(path) as file:
        for number, found in enumerate(scan_values(file), start=1):
            if isinstance(found, str):
                yield number, as_utf8(found)
            else:
                yield number, unreadable_row(*found)


def _read_csv(path: Path) -> Iterator[RawRow]:
    yield from read_delimited(path, ",")


def _read_tsv(path: Path) -> Iterator[RawRow]:
    yield from read_delimited(path, "\t")


def _read_parquet(path: Path) -> Iterator[RawRow]:
    with _as_arrow_file(path) as source:
        batches = read_batches(source, rows=_ROWS_AT_ONCE)
        yield from enumerate(chain.from_iterable(map(_rows_of, batches)), start=1)


def _read_arrow(path: Path) -> Iterator[RawRow]:
    with _as_arrow_file(path) as source:
        try:
            file = pa.ipc.open_file(source)
            batches = (file.get_batch(index) for index in range(file.num_record_batches))
        except pa.ArrowInvalid:  # the stream format, as `datasets` writes it
            source.seek(0)
            batches = iter(pa.ipc.open_stream(source))
        yield from enumerate(chain.from_iterable(map(_rows_of, batches)), start=1)


def _rows_of(batch: pa.RecordBatch) -> Iterator[Mapping[str, Any]]:
    batch.validate(full=True)  # damaged offsets would end the process
    if len(set(batch.schema.names)) < batch.num_columns:
        raise pa.ArrowInvalid(f"a column stands twice in {', '.join(batch.schema.names)}")
    for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
        try:
            rows = batch.slice(start, _ROWS_AT_ONCE).to_pylist()
        except (ValueError, OverflowError, LookupError) as error:  # a date in the year 60000
            raise pa.ArrowInvalid(f"a value that Python does not have: {error}") from error
        yield from rows


@contextmanager
def _as_arrow_file(path: Path) -> Iterator[Any]:
    """Arrow jumps in a file, so a packed one is unpacked to a temporary file first."""
    try:
        with tempfile.TemporaryFile() as unpacked:
            if path.suffix.lower() in PACKED:
                with open_bytes(path) as file:
                    copyfileobj(file, unpacked)
                unpacked.seek(0)
                yield unpacked
            else:
                with pa.OSFile(str(path)) as source:
                    yield source
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"data.path={path} is damaged or of another format: {error}") from error


READERS: dict[str, Callable[[Path], Iterator[RawRow]]] = {
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}
