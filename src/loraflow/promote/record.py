"""What a night leaves behind: one JSON file, from which the history of nights is drawn."""

import getpass
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from loraflow.config.nightly import Outcome
from loraflow.errors import fault_of
from loraflow.files import read_json, write_json

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NightRecord:
    """One night, or one rollback."""

    id: str  # "2026-11-26T02-00-00Z", its start in UTC: sorts by time
    outcome: Outcome
    reason: str  # in words, one sentence
    started: str  # ISO 8601, UTC
    ended: str
    data: Mapping[str, Any]
    """fingerprint, rows, new_rows, rejected, gate_rows_removed, swept; empty when not reached."""
    drift: Mapping[str, float]  # feature -> population stability index; empty when not measured
    decision: Mapping[str, Any] | None  # Decision.as_dict()
    version: int | None  # in the registry: the challenger's; after a rollback the champion's
    champion: int | None  # version that is champion when the night ends
    run_id: str  # of MLflow; "" when there was none
    url: str  # of that run
    by: str  # who: a user's name, or "schedule"


def user_name() -> str:
    """Return who starts this process, as records say `by` whom."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"


def write_record(folder: Path, record: NightRecord) -> Path:
    """Write the record to `folder`, whole or not at all, and return the file.

    A record of the same id is replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.id}.json"
    partial = folder / f".{record.id}.partial"
    write_json(partial, {**asdict(record), "reason": _encodable(record.reason)})
    _flush(partial)
    partial.replace(path)
    _flush(folder)  # or a power cut takes the new name back
    return path


def read_records(folder: Path) -> list[NightRecord]:
    """Return the records of `folder`, in order.

    A damaged file is named in a warning and hides no other.
    """
    found = (_read(path) for path in sorted(folder.glob("*.json")))
    return in_order(one for one in found if one is not None)


def in_order(records: Iterable[NightRecord]) -> list[NightRecord]:
    """Return records as they ended: what a person did while a night went on comes before it.

    Else by their ids, which only grow, and not by a clock, which may have been set back.
    """
    ordered: list[NightRecord] = []
    for record in sorted(records, key=lambda one: one.id):
        place = len(ordered)
        while place and _is_within(record, ordered[place - 1]):
            place -= 1
        ordered.insert(place, record)
    return ordered


def as_utc(time: str) -> datetime:
    """Return a time of a record."""
    found = datetime.fromisoformat(time)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _is_within(record: NightRecord, night: NightRecord) -> bool:
    began = as_utc(night.started) <= as_utc(record.started)
    return began and as_utc(record.ended) < as_utc(night.ended)


def _read(path: Path) -> NightRecord | None:
    try:
        record = _RECORD.validate_python(read_json(path))
        for time in (record.started, record.ended):
            datetime.fromisoformat(time)
        return record
    except (OSError, ValueError) as error:  # of JSON, UTF-8, pydantic and times
        _log.warning(
            "%s is no record of a night and is left out of the history (%s); mend or delete it",
            path,
            fault_of(error),
        )
        return None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encodable(text: str) -> str:
    """Write out half surrogate pairs, which an error may quote from the data."""
    return text.encode("utf-8", "backslashreplace").decode()


_RECORD = TypeAdapter(NightRecord)
