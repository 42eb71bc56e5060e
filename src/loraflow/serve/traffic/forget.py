"""Deletes all that one user asked, got and said, so that it is not in the log's file either."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loraflow.config.serve import TrafficConfig
from loraflow.errors import UserError
from loraflow.serve.traffic.split import hashed_user, salt_of
from loraflow.serve.traffic.table import open_to_write, require_log

_OWN = "SELECT id FROM exchanges WHERE user = ?"


@dataclass(frozen=True)
class Forgotten:
    """What is gone, and what may still be the user's."""

    requests: int
    others: int  # requests in the log whose users were hashed with another salt, or an unknown one


def forget_user(path: Path, name: str, traffic: TrafficConfig) -> Forgotten:
    """Delete all of a user, as the salt of `traffic` hashes the name; answers in the shadow too.

    The room is overwritten and given back.

    Raises:
        UserError: if there is no log, nobody of this name in it, or it cannot be written.
    """
    require_log(path)
    with _explained(path, "nothing is deleted yet"):
        found = _delete(path, hashed_user(name, traffic), salt_of(traffic))
    with _explained(path, "the rows are deleted, but their text may still lie in the file"):
        _compact(path)  # also where nobody was found: it may be what an earlier try left undone
    if not found.requests:
        raise UserError(
            f"forget={name}: nobody of this name is in {path} under this serve.traffic.salt; set "
            "serve.traffic.salt=SALT as the server has it, and write the name as the client sends "
            f"it; {found.others:,} requests there are under another salt or an unknown one"
        )
    return found


def _delete(path: Path, user: str, salt: str) -> Forgotten:
    with closing(open_to_write(path)) as table:
        table.execute("BEGIN IMMEDIATE")
        table.execute(f"DELETE FROM ratings WHERE id IN ({_OWN})", (user,))
        table.execute(f"DELETE FROM exchanges WHERE shadow_of IN ({_OWN})", (user,))
        gone = table.execute("DELETE FROM exchanges WHERE user = ?", (user,)).rowcount
        query = "SELECT count(*) FROM exchanges WHERE shadow_of IS NULL AND deal NOT LIKE ?"
        (others,) = table.execute(query, (f"%{salt}",)).fetchone()
        table.execute("COMMIT")
    return Forgotten(gone, others)


def _compact(path: Path) -> None:
    with closing(open_to_write(path)) as table:
        table.execute("VACUUM")
        (is_busy, *_) = table.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:  # old pages stand in that file too
            raise sqlite3.OperationalError("another process is reading it")


@contextmanager
def _explained(path: Path, state: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"forget=: {path} cannot be changed: {error}; {state}: run it again in a moment, or "
            "with the server stopped"
        ) from error
