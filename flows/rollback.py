"""The champion before this one, or a version of your choice, in use again; with who and why.

python -m flows.rollback reason="worse on support tickets"
python -m flows.rollback version=3 reason="..." [by=ann] [night.name=support-tickets]
"""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.command import readable, run_safely, shows_help
from flows.night_command import NightRequest, read_night
from loraflow.errors import UserError
from loraflow.promote.line import Line
from loraflow.promote.record import NightRecord, user_name, write_record

if TYPE_CHECKING:
    from loraflow.promote.registry.version import Version

_OWN = ("version", "reason", "by")


def main() -> None:
    """Read the command line, roll back, say what is in use now."""
    if not shows_help(__doc__):
        run_safely(lambda: _run(sys.argv[1:]))


def _run(words: Sequence[str]) -> None:
    pairs = (word.partition("=") for word in words)
    wish = {key: value for key, _, value in pairs if key in _OWN}
    if not (reason := wish.get("reason", "").strip()):
        raise UserError("reason= is not given; make rollback ARGS='reason=\"worse on ...\"'")
    rest = [readable(word) for word in words if word.partition("=")[0] not in _OWN]
    request = read_night(rest)
    record, start = roll_back(
        request, to=_number(wish.get("version")), by=wish.get("by") or user_name(), reason=reason
    )
    _show(request, record, start)


def roll_back(
    request: NightRequest, *, to: int | None, by: str, reason: str
) -> "tuple[NightRecord, Version | None]":
    """Move the champion, keep a record of it beside those of the nights, and tell the hooks.

    Returns the record, and the version that was champion; None, if this one was already: what was
    cut short needed only its end.
    """
    from loraflow.promote.history.run import write_history
    from loraflow.promote.notify import notify
    from loraflow.promote.registry.registry import Registry

    started = datetime.now(UTC)
    registry = Registry(request.config.tracking, request.night.name)
    before = registry.champion()
    champion = registry.rollback(by=by, reason=reason, to=to)
    line = Line(request.night.folder, request.night.name)
    record = NightRecord(
        id=line.next_id(),
        outcome="rolled_back",
        reason=reason,
        started=started.isoformat(timespec="seconds"),
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        data={},
        drift={},
        decision=None,
        version=champion.number,
        champion=champion.number,
        run_id=champion.run_id,
        url=champion.url,
        by=by,
    )
    write_record(line.records, record)  # not the line's own way, which would end a night under way
    page = write_history(line.nights(), line.folder)
    notify(request.night.hooks, record, page)
    return record, None if before is None or before.number == champion.number else before


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"version={text} is no number of a version; make ui shows them: version=3")
    return int(text)


def _show(request: NightRequest, record: NightRecord, start: "Version | None") -> None:
    from rich.console import Console

    name = request.night.name
    console = Console()
    for text in [
        f"version {record.champion} is the champion of {name}"
        + (f", in place of version {start.number}" if start else ""),
        f"by {record.by}: {record.reason}",
        f"version in MLflow   {record.url}",
        f"history of nights   {os.path.relpath(Line(request.night.folder, name).history)}",
    ]:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
