"""The folder of an export: made beside its place, and there only when it is whole."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loraflow.disk import disk_full_is_named, flush_folder
from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.lock import locked
from loraflow.store import Key

RECORD = "export.json"  # what was exported, how far it is from the adapter, and its key


def made_before(target: Path, key: Key) -> dict[str, Any] | None:
    """Return the record of the same export, if `target` holds that; None if nothing is there.

    Raises:
        UserError: if something else is there.
    """
    if not target.exists():
        return None
    record = target / RECORD
    found: dict[str, Any] = read_json(record) if record.is_file() else {}
    if found.get("key") == key.digest:
        return found
    what = "another export" if found else "something else"
    raise UserError(
        f"export.name={target.name}: {target} holds {what} already, and is left as it is; set "
        "export.name=NEW, or move it away"
    )


@contextmanager
def new_folder(target: Path, key: Key) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends well; else it is gone.

    Raises:
        UserError: if the disk is full, or another process was faster.
    """
    with disk_full_is_named("export.folder", target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        try:
            partial = scratch / "export"
            partial.mkdir()
            yield partial
            flush_folder(partial)
            with locked(target.parent / ".lock"):
                if made_before(target, key) is None:
                    partial.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def require_room(target: Path, needed: int) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        UserError: says how much is missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise UserError(
            f"export.folder={target.parent} has {free / 2**30:.1f} GiB free, and the export needs "
            f"about {needed / 2**30:.1f}; free space or set export.folder=FOLDER on another disk"
        )
