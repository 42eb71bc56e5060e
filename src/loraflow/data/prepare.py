"""Stage: from the source to clean records, split into training and held-out rows."""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from loraflow.config import DataConfig
from loraflow.data.clean import clean_rows
from loraflow.data.read import read_rows
from loraflow.data.records import Record, Rejected
from loraflow.data.split import split_records
from loraflow.errors import UserError
from loraflow.files import write_lines

_PROBED_ROWS = 5_000  # enough to see a wrong format, few enough to take no time


def prepare(data: DataConfig, *, out: Path) -> dict[str, Any]:
    """Write train.jsonl, held_out.jsonl and rejected.jsonl to `out`, and return the counts.

    Raises:
        UserError: if the source cannot be read, or too few rows are left.
    """
    rows = list(clean_rows(read_rows(data), data))
    kept = [row for row in rows if isinstance(row, Record)]
    rejected = [row for row in rows if isinstance(row, Rejected)]
    _require_enough(data, kept, rejected)
    split = split_records(
        kept, held_out_rows=data.held_out_rows, train_rows=data.train_rows, seed=data.split_seed
    )
    if not split.held_out:
        raise UserError(
            f"data.held_out_rows={data.held_out_rows} is smaller than every group of rows that "
            "share a prompt, and a group is not torn apart; raise it"
        )
    write_lines(out / "train.jsonl", (record.as_row() for record in split.train))
    write_lines(out / "held_out.jsonl", (record.as_row() for record in split.held_out))
    write_lines(out / "rejected.jsonl", (row.as_row() for row in rejected))
    counts = {
        "read": len(rows),
        "train": len(split.train),
        "held_out": len(split.held_out),
        "unused": len(split.unused),
        "rejected": len(rejected),
    }
    if counts["read"] != sum(counts.values()) - counts["read"]:
        raise RuntimeError(f"rows were lost between reading and splitting: {counts}")
    return {"counts": counts, "rejected_by": _reasons(rejected)}


def probe(data: DataConfig) -> None:
    """Read and clean the head of the source, so that a wrong file is known before anything starts.

    Raises:
        UserError: as `prepare` would, as far as the head can tell.
    """
    rows = list(islice(clean_rows(read_rows(data), data), _PROBED_ROWS))
    kept = [row for row in rows if isinstance(row, Record)]
    if not kept or len(rows) < _PROBED_ROWS:
        _require_enough(data, kept, [row for row in rows if isinstance(row, Rejected)])


def _require_enough(data: DataConfig, kept: list[Record], rejected: list[Rejected]) -> None:
    needed = data.min_train_rows + data.held_out_rows
    if len(kept) >= needed:
        return
    reasons = ", ".join(f"{name} {count}" for name, count in _reasons(rejected).items())
    example = f"; the first: {_shorten(rejected[0])}" if rejected else ""
    raise UserError(
        f"data.path={data.path}: {len(kept)} rows are left after cleaning, and {needed} are needed "
        f"(data.min_train_rows={data.min_train_rows} + data.held_out_rows={data.held_out_rows}); "
        f"rejected {len(rejected)} ({reasons or 'none'}){example}. "
        "Add data, mend the rows, or lower the two keys."
    )


def _reasons(rejected: list[Rejected]) -> dict[str, int]:
    return dict(Counter(row.operator for row in rejected).most_common())


def _shorten(row: Rejected) -> str:
    return f"line {row.line}, {row.operator}: got {row.value!s:.120}, expected {row.threshold}"
