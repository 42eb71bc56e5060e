"""Keeps the store and other local files within a disk budget; what is needed never goes.

Leftovers of processes that died go first, then what was used longest ago. A use is each time that
a run makes an output or finds it in the store (`Store.hold`). What goes is first renamed, so what
is killed here leaves nothing that passes for complete.
"""

import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from loraflow.files import read_json
from loraflow.lock import is_held, locked, locked_if_free
from loraflow.outbox import unlogged_digests
from loraflow.store import LOCKS, RESULT, UNFINISHED, USED

log = logging.getLogger(__name__)

GIB = 2**30
TRASH, PARTIAL = ".trash", ".partial"
IN_USE = "a running job"

_BLOCK = 512  # bytes; the unit of st_blocks, whatever the disk's is

Kind = Literal["leftover", "unfinished", "output", "artifacts"]


@dataclass(frozen=True)
class Piece:
    """A folder that may go, unless it is needed."""

    kind: Kind
    path: Path
    size: int  # bytes on disk
    used: float  # seconds since 1970
    locks: tuple[Path, ...] = ()  # whoever works on it holds one of them
    needed: str = ""  # by what; empty: by nothing


def tidy(
    root: Path,
    budget_gib: float,
    keep: Mapping[str, str],
    others: Sequence[Piece] = (),
) -> list[Piece]:
    """Delete leftovers, then what was used longest ago until all fits; return what went.

    Args:
        root: folder of the store
        budget_gib: of disk, for the store and `others` together
        keep: digests of the stages that have to stay, and what needs them: "the champion"; what
            they have read stays too
        others: local files beside the store, as `loraflow.promote.tidy.artifacts` finds them
    """
    with locked(root.absolute() / LOCKS / "tidy"):
        pieces = survey(root, keep, others)
        gone = [piece for piece in choose(pieces, budget_gib) if _remove(piece)]
    left = _total(pieces) - _total(gone)
    log.info("tidied: %.2f GiB gone, %.2f GiB left", _total(gone) / GIB, left / GIB)
    if left > budget_gib * GIB:
        log.warning(
            "%.2f GiB are needed, more than the budget of %g GiB; raise night.disk_gib",
            left / GIB,
            budget_gib,
        )
    return gone


def survey(root: Path, keep: Mapping[str, str], others: Sequence[Piece] = ()) -> list[Piece]:
    """Return all that may go, or says what needs it, the leftovers first and then by last use."""
    pieces = [*_pieces(root.absolute()), *others]
    needed = _needed(root.absolute(), pieces, keep)
    known = [_with_need(piece, needed) for piece in pieces]
    return sorted(known, key=lambda piece: (piece.kind != "leftover", piece.used))


def choose(pieces: Sequence[Piece], budget_gib: float) -> list[Piece]:
    """Return which pieces of a survey go, in this order."""
    over = _total(pieces) - budget_gib * GIB
    chosen = []
    for piece in pieces:
        if not piece.needed and (piece.kind == "leftover" or over > 0):
            chosen.append(piece)
            over -= piece.size
    return chosen


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes on disk."""
    return sum(path.lstat().st_blocks * _BLOCK for path in [folder, *folder.rglob("*")])


def _total(pieces: Sequence[Piece]) -> int:
    return sum(piece.size for piece in pieces)


def _pieces(root: Path) -> Iterator[Piece]:
    for folder in _folders_of_digests(root):
        digest = folder.name[:20]
        kind: Kind = "output" if folder.name == digest else "leftover"
        if kind == "output" and folder.parent.parent == root / UNFINISHED:
            is_done = (root / folder.parent.name / digest).is_dir()
            kind = "leftover" if is_done else "unfinished"
        locks = (root / LOCKS / digest, root / USED / digest)
        with suppress(FileNotFoundError):  # a running job has renamed or deleted it meanwhile
            yield Piece(kind, folder, size_of(folder), _last_use(root, folder), locks)


def _folders_of_digests(root: Path) -> Iterator[Path]:
    """Find outputs, those that were not finished, and what they left; touch nothing else."""
    name = re.compile(rf"[0-9a-f]{{20}}(?P<left>({PARTIAL}|{TRASH})*)")
    for folder in [*root.glob("*/*"), *root.glob(f"{UNFINISHED}/*/*")]:
        found = name.fullmatch(folder.name) if folder.is_dir() else None
        is_unfinished = folder.parent.parent == root / UNFINISHED
        if found and (found["left"] or is_unfinished or (folder / RESULT).is_file()):
            yield folder


def _last_use(root: Path, folder: Path) -> float:
    """Return when a run last made or found an output, or worked on one that is not finished."""
    marker = root / USED / folder.name[:20]
    paths = [path for path in (marker, folder / RESULT) if path.is_file()]
    return max(path.stat().st_mtime for path in paths or [folder])


def _needed(root: Path, pieces: Sequence[Piece], keep: Mapping[str, str]) -> dict[str, str]:
    """Return what needs each digest: `keep`, running jobs, unsent records, and their readers."""
    needed = {digest[:20]: why for digest, why in keep.items()}
    needed |= {digest[:20]: "make sync" for digest in unlogged_digests(root)}
    needed |= dict.fromkeys(_of_running_sweeps(root), IN_USE)
    needed |= {piece.path.name[:20]: IN_USE for piece in pieces if _is_in_use(piece)}
    reads = {piece.path.name: _reads(piece.path) for piece in pieces if piece.kind == "output"}
    pending = list(needed)
    while pending:
        reader = pending.pop()
        for digest in reads.get(reader, ()):
            if digest not in needed:
                needed[digest] = needed[reader]
                pending.append(digest)
    return needed


def _is_in_use(piece: Piece) -> bool:
    with locked_if_free(*piece.locks) as is_free:
        return not is_free


def _reads(output: Path) -> list[str]:
    """Return the digests of the outputs that one was made of."""
    result: dict[str, Any] = read_json(output / RESULT)
    return [digest[:20] for _, digest in result["inputs"].get("reads", [])]


def _of_running_sweeps(root: Path) -> Iterator[str]:
    """Return what the trials of a sweep left, for the report at its end."""
    for notes in root.glob("sweep/*/trials/*.json"):
        if is_held(root / LOCKS / notes.parts[-3]):
            outcome = read_json(notes)
            yield from (Path(outcome[name]).name for name in ("trained", "evaluated", "graded"))


def _with_need(piece: Piece, needed: Mapping[str, str]) -> Piece:
    """Say what needs a piece; a leftover only while somebody is at work on it."""
    why = piece.needed or needed.get(piece.path.name[:20], "")
    return replace(piece, needed="" if piece.kind == "leftover" and why != IN_USE else why)


def _remove(piece: Piece) -> bool:
    """Rename, then delete; leave alone what somebody has taken up since the survey."""
    trash = piece.path
    with locked_if_free(*piece.locks) as is_free:
        if not is_free or not piece.path.exists():
            return False
        if piece.path.suffix != TRASH:
            trash = piece.path.with_name(piece.path.name + TRASH)
            shutil.rmtree(trash, ignore_errors=True)
            piece.path.rename(trash)
    try:
        shutil.rmtree(trash)
    except OSError as error:
        log.warning("%s is out of use, but cannot be deleted: %s", trash, error)
        return False
    return True
