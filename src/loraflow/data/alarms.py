"""Stops a run whose data cannot be meant: in another encoding, too few rows, too many set aside."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from loraflow.config import DataConfig
from loraflow.data.clean.gather import clean_head
from loraflow.data.read.built_in import BUILT_IN
from loraflow.data.read.sources import HELD_OUT, benchmark_files, find_sources, fingerprint
from loraflow.data.tables import place, read_batches
from loraflow.errors import PassingError, RefusedData, UserError

_PROBED_ROWS = 5_000  # enough to see a wrong format, few enough to take no time
_WRONG_ENCODING = 0.1  # share of rows that are not UTF-8, from which the file is in another one
_ENOUGH_TO_JUDGE = 20  # rows; a rate of fewer says nothing
_NOTE = 120  # characters of a value shown


def probe(data: DataConfig) -> None:
    """Read and clean the head of the sources, so that wrong ones are known before anything starts.

    Raises:
        UserError: as `prepare` would, as far as the head can tell.
    """
    benchmark_files(data)
    parts, complete = clean_head(data, _PROBED_ROWS)
    rejected = [row for part in parts for row in part.rejected.to_pylist()]
    reasons = Counter(row["operator"] for row in rejected)
    read = sum(part.kept.num_rows + part.rejected.num_rows for part in parts)
    require_utf8(read, reasons, rejected)
    apart = {source.name for source in find_sources(data) if source.entry == HELD_OUT}
    kept = sum(part.kept.num_rows for part in parts if part.source not in apart)
    if complete or not kept:
        _require_enough(data, kept, reasons, rejected)


def check_counts(
    data: DataConfig, counts: Mapping[str, int], reasons: Counter[str], rejected: Path
) -> None:
    """Judge the counts of a whole run; `rejected` is the file of the rows set aside.

    Raises:
        RuntimeError: if a row was lost: a bug.
        UserError: if too few rows are left, or more set aside than `data.max_reject_rate`.
    """
    parts = [counts[name] for name in ("train", "held_out", "unused", "rejected")]
    if counts["read"] != sum(parts):
        raise RuntimeError(f"rows were lost between reading and splitting: {counts}")
    require_utf8(counts["read"], reasons, _rejected_rows(rejected))
    shown = list(islice(_rejected_rows(rejected), 1))
    if counts["train"] < data.min_train_rows:
        kept = counts["train"] + counts["held_out"] * (data.split.held_out_path is None)
        _require_enough(data, kept, reasons, shown)
    _require_held_out(data, counts["held_out"])
    rate = counts["rejected"] / max(counts["read"], 1)
    if rate > data.max_reject_rate and counts["read"] >= _ENOUGH_TO_JUDGE:
        raise RefusedData(
            f"data.max_reject_rate={data.max_reject_rate}: {counts['rejected']} of "
            f"{counts['read']} rows ({rate:.0%}) were set aside ({_listed(reasons)})"
            f"{_first(shown)}. All of them are in {rejected}. "
            "Mend the data, change data.clean, or raise data.max_reject_rate"
        )


def _rejected_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows set aside, of which there may be millions."""
    for batch in read_batches(path):
        yield from batch.to_pylist()


def _require_held_out(data: DataConfig, held_out: int) -> None:
    if held_out:
        return
    if data.split.held_out_path is not None:
        raise UserError(
            f"data.split.held_out_path={data.split.held_out_path} has no row that passes "
            "data.clean, so nothing is left to compare on; mend the file"
        )
    raise UserError(
        f"data.split.held_out_rows={data.split.held_out_rows} is smaller than every group of "
        "rows that share a prompt, and a group is not torn apart; raise it"
    )


def require_unchanged(data: DataConfig, content: str) -> None:
    """Compare the sources with the fingerprint taken before they were read.

    Raises:
        UserError: if they were written to meanwhile.
    """
    if fingerprint(data) != content:
        raise PassingError(
            f"data.path={_paths(data)} changed while it was read, so the result would be of "
            "neither version; run the same command again when the file is whole"
        )


def require_utf8(read: int, reasons: Counter[str], rejected: Iterable[dict[str, Any]]) -> None:
    """Tell a file in another encoding from a few damaged rows.

    Raises:
        UserError: names the first byte that is not UTF-8.
    """
    if reasons["encoding"] <= _WRONG_ENCODING * read:
        return
    row = next(row for row in rejected if row["operator"] == "encoding")
    raise RefusedData(
        f"data.path: {place(row['source'], row['line'])} is not UTF-8: {row['value']} "
        f"({reasons['encoding']} of {read} rows are not); "
        "convert the file, e.g. iconv -f GB18030 -t UTF-8"
    )


def _require_enough(
    data: DataConfig, kept: int, reasons: Counter[str], rejected: list[dict[str, Any]]
) -> None:
    needed, keys = data.min_train_rows, f"data.min_train_rows={data.min_train_rows}"
    if data.split.held_out_path is None:
        needed += data.split.held_out_rows
        keys += f" + data.split.held_out_rows={data.split.held_out_rows}"
    if kept >= needed:
        return
    mixed = f" and mixing by data.weights={data.weights}" if data.weights else ""
    raise RefusedData(
        f"data.path={_paths(data)}: {kept} rows are left after cleaning{mixed}, and {needed} are "
        f"needed ({keys}); set aside: {_listed(reasons)}{_first(rejected)}. "
        "Add data, mend the rows, or ask for fewer rows"
    )


def _paths(data: DataConfig) -> str:
    return ",".join(data.path or [BUILT_IN[data.layout].name])


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in reasons.most_common() if count) or "none"


def _first(rejected: list[dict[str, Any]]) -> str:
    if not rejected:
        return ""
    row = rejected[0]
    where = place(row["source"], row["line"])
    value, threshold = row["value"][:_NOTE], row["threshold"][:_NOTE]
    return f"; the first: {where}, {row['operator']}: got {value}, expected {threshold}"
