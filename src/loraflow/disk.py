"""Puts folders on the disk for good, and names a disk that is full."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from loraflow.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_full_is_named(config_key: str, root: Path, more: str = "") -> Iterator[None]:
    """Turn a full disk in the block into an error that names `config_key`, whose value is `root`.

    Raises:
        UserError: says so, and `more`.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        # safetensors wraps the system's error in its own, as text
        if getattr(error, "errno", None) not in _FULL and "No space left" not in str(error):
            raise
        message = (
            f"{config_key}={root}: the disk is full; free space or set {config_key}=FOLDER on "
            f"another disk. {more}"
        )
        raise UserError(message.rstrip()) from error


def flush_folder(folder: Path) -> None:
    """Ask the system to have everything on disk before the folder gets its final name."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
