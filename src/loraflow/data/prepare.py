"""Stage: from the sources to clean records, split into training and held-out rows."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loraflow.config import DataConfig
from loraflow.data.alarms import check_counts, require_unchanged
from loraflow.data.clean.cleaner import KEPT
from loraflow.data.clean.gather import Gathered, gather
from loraflow.data.judge.verdicts import (
    HELD_OUT_SIDE,
    REMOVED,
    TRAIN,
    UNUSED,
    Judged,
    Verdicts,
    judge,
)
from loraflow.data.negatives import add_negatives
from loraflow.data.tables import RECORDS, REJECTED, TableWriter, rejection

_READING = ("file", "encoding", "json", "csv", "schema", "unicode_text")  # in this order


def prepare(data: DataConfig, *, content: str, out: Path) -> dict[str, Any]:
    """Write train.parquet, held_out.parquet and rejected.parquet to `out`; return the counts.

    `content` is the fingerprint of the sources, which the output is named by.

    Raises:
        UserError: if a source cannot be read or changes meanwhile, too few rows are left, or too
            many are set aside.
    """
    scratch = out / "scratch"
    scratch.mkdir()
    with TableWriter.writing(out / "rejected.parquet", REJECTED) as rejected:
        gathered = gather(data, rejected=rejected, scratch=scratch)
        judged = judge(data, gathered)
        _write_sides(gathered, judged, rejected, out)
    shutil.rmtree(scratch)
    require_unchanged(data, content)
    counts = _counts(gathered, judged, rejected.rows)
    reasons = Counter({**gathered.rejected_by, **judged.removed_by()})
    check_counts(data, counts, reasons, out / "rejected.parquet")
    return {
        "counts": counts,
        "rejected_by": {name: count for name, count in reasons.most_common() if count},
        "funnel": list(_funnel(data, counts["read"], gathered, judged)),
        "sources": [source.as_dict() for source in gathered.sources],
        "edits": gathered.samples,
        "conflicts": judged.conflicts,
        "leak": judged.leak_summary,
        "negatives": add_negatives(data.negatives, out),
        "warnings": _warnings(reasons),
    }


def _write_sides(gathered: Gathered, judged: Judged, rejected: TableWriter, out: Path) -> None:
    """Write each gathered row to its side, or to the rejected ones with the reason."""
    verdicts = Verdicts(judged, gathered)
    with (
        TableWriter.writing(out / "train.parquet", RECORDS) as train,
        TableWriter.writing(out / "held_out.parquet", RECORDS) as held_out,
    ):
        for start, batch in gathered.batches(KEPT.names):
            side = judged.side[start : start + batch.num_rows]
            records = batch.select(RECORDS.names)
            train.add_batch(records.filter(side == TRAIN))
            held_out.add_batch(records.filter(side == HELD_OUT_SIDE))
            gone = np.flatnonzero(side == REMOVED)
            places = batch.select(["source", "line", "original"]).take(gone).to_pylist()
            rejected.add(
                [
                    rejection(verdicts.fault(start + int(row)), operator="", **where)
                    for row, where in zip(gone, places, strict=True)
                ]
            )


def _counts(gathered: Gathered, judged: Judged, rejected: int) -> dict[str, int]:
    return {
        "read": sum(source.read for source in gathered.sources),
        "train": int((judged.side == TRAIN).sum()),
        "held_out": int((judged.side == HELD_OUT_SIDE).sum()),
        "unused": int((judged.side == UNUSED).sum()),
        "rejected": rejected,
    }


def _funnel(
    data: DataConfig, read: int, gathered: Gathered, judged: Judged
) -> Iterator[dict[str, Any]]:
    """Yield what each operator saw, edited and set aside, in the order in which they ran."""
    removed = judged.removed_by()
    enabled = [name for name, parameters in data.clean.items() if parameters is not None]
    rows = read
    for name in [*_READING, *enabled, "leak"]:
        rejected = removed[name] if name in removed else gathered.rejected_by[name]
        edited = gathered.edited[name]
        yield {"operator": name, "rows_in": rows, "edited": edited, "rejected": rejected}
        rows -= rejected


def _warnings(reasons: Counter[str]) -> list[str]:
    """Name what a reader of the report must not overlook."""
    warnings = []
    if reasons["file"]:
        warnings.append("A packed file is damaged: the rows behind the damage are missing.")
    if reasons["encoding"]:
        warnings.append(f"{reasons['encoding']} rows are not UTF-8 and were set aside.")
    if reasons["json"]:
        warnings.append(
            f"{reasons['json']} places could not be read as JSON; if a file ends early, its last "
            "rows are missing."
        )
    return warnings
