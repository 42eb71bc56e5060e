"""The frozen gate set: rows that no night ever trains on, and on which every night is decided."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loraflow.data.tables import read_batches
from loraflow.disk import flush_folder
from loraflow.errors import UserError
from loraflow.files import read_json, write_json

_ROWS, _ABOUT = "gate.parquet", "gate.json"


@dataclass(frozen=True)
class GateSet:
    """Rows that are held out for ever."""

    rows: Path  # parquet, as the stage prepare writes it
    digest: str  # SHA-256 of what the rows are, in whatever order
    count: int
    asked: Mapping[str, Any]  # gate.rows and gate.path of then


def read_gate(folder: Path) -> GateSet | None:
    """Return the gate set of `folder`; None before the first night.

    Raises:
        UserError: if its rows are no longer those that were frozen.
    """
    if not folder.is_dir():
        return None
    about, rows = read_json(folder / _ABOUT), folder / _ROWS
    found = digest_of(rows) if rows.is_file() else "missing"
    if found != about["digest"]:
        raise UserError(
            f"{rows} is not the gate set that was frozen {about['frozen']} ({about['digest'][:12]} "
            f"is now {found[:12]}), so no night can be compared with those before; restore the "
            f"file from a backup, or start a new line with night.name=NAME"
        )
    return GateSet(rows, found, about["rows"], about["asked"])


def freeze_gate(prepared: Path, folder: Path, *, asked: Mapping[str, Any]) -> GateSet:
    """Freeze the held-out rows of the stage prepare in `folder`, whole or not at all.

    `asked` is noted beside them: what gate.rows and gate.path were.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    held_out = prepared / "held_out.parquet"
    shutil.copyfile(held_out, partial / _ROWS)
    digest, count = digest_of(held_out), sum(1 for _ in _ids(held_out))
    frozen = datetime.now(UTC).isoformat(timespec="seconds")
    about: dict[str, Any] = {"digest": digest, "rows": count, "frozen": frozen, "asked": asked}
    write_json(partial / _ABOUT, about)
    flush_folder(partial)
    partial.rename(folder)
    return GateSet(folder / _ROWS, digest, count, asked)


def digest_of(rows: Path) -> str:
    """Return the SHA-256 of what the rows of a file are: their ids name their content."""
    return hashlib.sha256("\n".join(sorted(_ids(rows))).encode()).hexdigest()


def count_new(prepared: Path, before: Path | None) -> int:
    """Return how many training rows the output `before` of the stage prepare did not have."""
    rows = set(_ids(prepared / "train.parquet"))
    return len(rows - set(_ids(before / "train.parquet")) if before else rows)


def count_removed(prepared: Path) -> int:
    """Return how many rows the stage prepare kept from training since they are in the gate set."""
    rejected = read_batches(prepared / "rejected.parquet", ["operator", "value"])
    return sum(
        row["operator"] == "leak" or ("duplicates" in row["operator"] and _ROWS in row["value"])
        for batch in rejected
        for row in batch.to_pylist()
    )


def _ids(rows: Path) -> Iterator[str]:
    for batch in read_batches(rows, ["id"]):
        yield from batch.column("id").to_pylist()
