"""A line of nights: the folder of its gate set, its records, its decisions and its history."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loraflow.config.nightly import Outcome
from loraflow.files import read_json, write_json
from loraflow.promote.record import NightRecord, read_records, write_record

_ID = "%Y-%m-%dT%H-%M-%SZ"


@dataclass
class Diary:
    """What is known of a night while it goes on."""

    id: str
    started: str
    by: str
    data: dict[str, Any] = field(default_factory=dict)
    drift: dict[str, float] = field(default_factory=dict)
    decision: Mapping[str, Any] | None = None
    version: int | None = None
    champion: int | None = None
    run_id: str = ""
    url: str = ""

    def close(self, outcome: Outcome, reason: str) -> NightRecord:
        """Return the record of the night that ends so."""
        return NightRecord(outcome=outcome, reason=reason, ended=_now(), **asdict(self))


class Line:
    """The folder of one line of nights."""

    def __init__(self, folder: Path, name: str) -> None:
        """Keep the line `name` below `folder`; made by its first night."""
        self.folder = folder.absolute() / name
        self.gate = self.folder / "gate"
        self.records = self.folder / "records"
        self.history = self.folder / "history.html"
        self._diary = self.folder / "tonight.json"

    @property
    def lock(self) -> Path:
        """Return the lock that a night holds: two never run at once."""
        return self.folder / "lock"

    def decision(self, night: str) -> Path:
        """Return the folder of what a night's decision was made of."""
        return self.folder / "decisions" / night

    def nights(self) -> list[NightRecord]:
        """Return all records as they ended, the oldest first."""
        return read_records(self.records)

    def last_trained(self) -> NightRecord | None:
        """Return the last night that trained a challenger, if there is one.

        A promotion by hand, which trains nothing, is none.
        """
        done = (one for one in reversed(self.nights()) if one.outcome in ("promoted", "kept"))
        return next((one for one in done if "prepared" in one.data), None)

    def next_id(self) -> str:
        """Return now as the id of a record: later than all before, whatever the clock says."""
        now, ids = datetime.now(UTC).replace(microsecond=0), [one.id for one in self.nights()]
        if self._diary.is_file():  # a night under way, whose record is still to come
            ids.append(read_json(self._diary)["id"])
        if ids and (last := datetime.strptime(max(ids), _ID).replace(tzinfo=UTC)) >= now:
            now = last + timedelta(seconds=1)
        return now.strftime(_ID)

    def bury(self) -> NightRecord | None:
        """Keep a record of the night before as failed, if it was killed, and return it."""
        if not self._diary.is_file():
            return None
        reason = "killed before it came to a decision; the next night goes on from there"
        return self.end(Diary(**read_json(self._diary)).close("failed", reason))

    def begin(self, by: str) -> Diary:
        """Begin a night, behind `bury`."""
        nights = self.nights()
        champion = nights[-1].champion if nights else None
        diary = Diary(self.next_id(), _now(), by, champion=champion)
        self.note(diary)
        return diary

    def note(self, diary: Diary) -> None:
        """Write down what is known so far, for the case that the night is killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._diary.with_suffix(f".{os.getpid()}")
        write_json(partial, asdict(diary))
        partial.replace(self._diary)

    def end(self, record: NightRecord) -> NightRecord:
        """Keep the record of a night, and return it: with who is champion by a person's word.

        A promotion comes behind such a word, or is none: the registry sees to that.
        """
        meanwhile = [one for one in self.nights() if one.id > record.id]
        if meanwhile and record.outcome != "promoted":
            record = replace(record, champion=meanwhile[-1].champion)
        write_record(self.records, record)
        self._diary.unlink(missing_ok=True)
        return record

    def acknowledge(self, champion: int, run_id: str) -> NightRecord | None:
        """Let the last night stand as promoted, if it was cut short between that and its record.

        Returns its record, if so.
        """
        last = next(reversed(self.nights()), None)
        if last is None or last.outcome != "failed" or not has_promoted(last, run_id):
            return None
        known = replace(last, outcome="promoted", reason=(last.decision or {})["sentence"])
        promoted = replace(known, version=champion, champion=champion)
        write_record(self.records, promoted)
        return promoted


def has_promoted(night: Diary | NightRecord, champion: str) -> bool:
    """Tell whether the night decided to promote what it trained, which is the champion's run."""
    return night.run_id == champion and bool((night.decision or {}).get("promote"))


def lines_of(folder: Path) -> list[Line]:
    """Return the lines of nights in a folder."""
    return [Line(folder, path.parent.name) for path in sorted(folder.glob("*/records"))]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
