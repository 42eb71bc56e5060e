"""Opens a data file as bytes, unpacking .gz and .zst, and stops at what can only be a bomb."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pyarrow as pa
from typing_extensions import Buffer

from loraflow.errors import UserError

PACKED = (".gz", ".zst")
_BUFFER = 2**20
_AT_ONCE = 2**14  # bytes; of a damaged .zst, what is good in the last of these is lost
_HARMLESS = 64 * 2**20  # bytes unpacked before the ratio is looked at
_LARGEST_RATIO = 200  # text packs 3- to 30-fold, a bomb 1,000-fold
_DAMAGE = (EOFError, zlib.error, OSError, pa.ArrowInvalid)  # Arrow raises an OSError of no number


class BrokenFileError(Exception):
    """The packed file ends early or is damaged; what came before it is good."""


@contextmanager
def open_bytes(path: Path) -> "Iterator[io.BufferedReader[io.RawIOBase]]":
    """Open `path` for reading its unpacked content.

    A damaged file seems to end at the damage; reading on, or leaving the block at that end, raises
    `BrokenFileError`. Content that grows more than 200-fold (beyond 64 MiB) raises a `UserError`.
    """
    packed = path.suffix.lower() in PACKED
    raw: io.RawIOBase = _Bounded(path) if packed else io.FileIO(path)
    with io.BufferedReader(raw, buffer_size=_BUFFER) as file:
        yield file
    if isinstance(raw, _Bounded) and raw.damage is not None:
        raise raw.damage


class _Bounded(io.RawIOBase):
    """Unpacks a file and counts what comes out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._most = max(_HARMLESS, _LARGEST_RATIO * path.stat().st_size)
        self._unpacked = 0
        self._inner = _UNPACKERS[path.suffix.lower()](path)
        self.damage: BrokenFileError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        if self.damage is not None:
            raise self.damage
        view = memoryview(buffer)
        try:
            data = self._inner.read1(min(len(view), _AT_ONCE))
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's fault, not the file's
            self.damage = BrokenFileError(str(error))
            return 0  # so that what was read before is handed out first
        self._unpacked += len(data)
        if self._unpacked > self._most:
            raise UserError(
                f"data.path={self._path} grows more than {_LARGEST_RATIO}-fold when it is "
                "unpacked, which text never does; unpack it by hand if you trust it"
            )
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


def _open_gzip(path: Path) -> io.BufferedIOBase:
    return gzip.open(path, "rb")


def _open_zstd(path: Path) -> io.BufferedIOBase:
    return cast(io.BufferedIOBase, pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))


_UNPACKERS = {".gz": _open_gzip, ".zst": _open_zstd}
