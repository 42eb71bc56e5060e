"""Moves the alias `champion` so that a kill at any moment leaves it on a whole adapter.

A move is first written to a journal, a tag of the registered model, and last taken out of it.
Killed in between, `champion` is the old version or the new one. The next `repair` finishes a move
that had moved `champion`, and drops one that had not.
"""

import logging

from loraflow.promote.registry.entries import Entries
from loraflow.promote.registry.move import Move
from loraflow.promote.registry.version import (
    CHAMPION,
    HISTORY,
    REGISTERED,
    REPLACED,
    REPLACES,
    ROLLED_BACK,
    STATE,
    Version,
)

log = logging.getLogger(__name__)


def carry_out(entries: Entries, move: Move) -> bool:
    """Move `champion`; False if another machine, which no lock here stops, did so meanwhile."""
    entries.write_journal(move)
    end = entries.find(move.end)
    if end is not None and end.state == REGISTERED:  # else it keeps what it replaced at first
        entries.tag(end, {REPLACES: str(_replaced(entries, move) or "none")})
    if move.kind == "promotion":  # nobody who goes by the aliases finds one too old
        entries.point("previous", move.start)
    entries.point("champion", move.end)
    if entries.journal() != move:
        return False
    _finish(entries, move)
    return True


def repair(entries: Entries) -> Move | None:
    """Finish or drop a move that was cut short, if one was; return it if it was finished."""
    move = entries.journal()
    if move is None:
        return None
    champion = entries.at("champion")
    if champion is not None and champion.number == move.end:
        log.warning("finishing a %s to version %s that was cut short", move.kind, move.end)
        _finish(entries, move)
        return move
    log.warning("dropping a %s to version %s that was cut short", move.kind, move.end)
    entries.point("previous", None if champion is None else champion.replaces)
    entries.clear_journal()
    return None


def _replaced(entries: Entries, move: Move) -> int | None:
    """Return what stands before a new champion; one that was rolled back never does."""
    if move.kind == "promotion" or move.start is None:
        return move.start
    start = entries.find(move.start)
    return None if start is None else start.replaces


def _finish(entries: Entries, move: Move) -> None:
    """Bring all in line with the new champion; may be cut short and repeated."""
    start = None if move.start is None else entries.find(move.start)
    if start is not None:
        _tell(entries, start, *_ENDED[move.kind], move)
    end = entries.find(move.end)
    if end is not None:
        _tell(entries, end, CHAMPION, _BEGAN[move.kind], move)
        entries.point("previous", end.replaces)
    if entries.aliases().get("challenger") == move.end:
        entries.point("challenger", None)
    entries.clear_journal()


_ENDED = {
    "promotion": (REPLACED, "replaced by version {0.end}"),
    "rollback": (ROLLED_BACK, "rolled back to version {0.end}"),
}
_BEGAN = {"promotion": "promoted", "rollback": "brought back in place of version {0.start}"}


def _tell(entries: Entries, version: Version, state: str, words: str, move: Move) -> None:
    """Write to a version what the move made of it."""
    line = move.line(words.format(move))
    history = [*(old for old in version.history if old != line), line]
    entries.tag(version, {STATE: state, HISTORY: "\n".join(history)})
    entries.describe(version.number)
