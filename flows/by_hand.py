"""The champion, moved by a person: what a rollback and a promotion by hand have in common."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.command import readable
from flows.night_command import NightRequest, read_night
from loraflow.config.nightly import Outcome
from loraflow.errors import UserError
from loraflow.promote.line import Line
from loraflow.promote.record import NightRecord, user_name, write_record

if TYPE_CHECKING:
    from loraflow.promote.registry.registry import Registry
    from loraflow.promote.registry.version import Version

_OWN = ("version", "reason", "by")


@dataclass(frozen=True)
class Wish:
    """What a person wants."""

    request: NightRequest
    version: int | None
    by: str
    reason: str


def read_wish(words: Sequence[str], command: str) -> Wish:
    """Read version=, by= and reason= off the command line; the rest is a night's.

    Raises:
        UserError: if no reason is given, or something else is wrong.
    """
    pairs = (word.partition("=") for word in words)
    given = {key: value for key, _, value in pairs if key in _OWN}
    if not (reason := given.get("reason", "").strip()):
        raise UserError(f"reason= is not given; make {command} ARGS='reason=\"...\"'")
    rest = [readable(word) for word in words if word.partition("=")[0] not in _OWN]
    by = given.get("by") or user_name()
    return Wish(read_night(rest), _number(given.get("version")), by, reason)


def move_champion(wish: Wish, outcome: Outcome, move: Callable[["Registry"], "Version"]) -> None:
    """Move the champion, keep a record of it beside those of the nights, tell the hooks, show it.

    Who was cut short and starts again only needs the end of it.
    """
    from loraflow.promote.history.run import write_history
    from loraflow.promote.notify import notify
    from loraflow.promote.registry.registry import Registry

    request = wish.request
    started = datetime.now(UTC)
    registry = Registry(request.config.tracking, request.night.name)
    before = registry.champion()
    champion = move(registry)
    line = Line(request.night.folder, request.night.name)
    record = NightRecord(
        id=line.next_id(),
        outcome=outcome,
        reason=wish.reason,
        started=started.isoformat(timespec="seconds"),
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        data={},
        drift={},
        decision=None,
        version=champion.number,
        champion=champion.number,
        run_id=champion.run_id,
        url=champion.url,
        by=wish.by,
    )
    write_record(line.records, record)  # not the line's own way, which would end a night under way
    page = write_history(line.nights(), line.folder)
    notify(request.night.hooks, record, page)
    replaced = None if before is None or before.number == champion.number else before
    _show(request, record, replaced)


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
