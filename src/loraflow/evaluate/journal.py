"""Keeps finished items on disk one by one, so that a process killed at any moment loses none."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Journal:
    """A file of items by key. It is opened where an earlier process left it.

    A last line that was cut off, as kill -9 or a full disk leave it, is taken off.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, made if it is not there, and read what is done."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        self.done: dict[str, dict[str, Any]] = self._read()

    def add(self, key: str, item: Mapping[str, Any]) -> None:
        """Keep an item; it is on disk when this returns."""
        line = json.dumps([key, item]) + "\n"  # ASCII, so that half a surrogate is kept too
        self._file.write(line.encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done[key] = dict(item)

    def __enter__(self) -> Self:
        """Stay open for the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> dict[str, dict[str, Any]]:
        self._file.seek(0)
        done: dict[str, dict[str, Any]] = {}
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                key, item = json.loads(line)
            except ValueError:  # a block that never reached the disk, after a power cut
                break
            done[key] = item
            whole += len(line)
        self._file.truncate(whole)
        return done
