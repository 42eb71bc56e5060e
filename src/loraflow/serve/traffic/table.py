"""The table of requests and ratings: one SQLite file, which a server writes and others may read."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from loraflow.errors import UserError

LOG = "log.db"  # in serve.folder
EXCHANGE = (
    *("id", "at", "model", "arm", "adapter", "version", "run_id", "user", "messages", "answer"),
    *("prompt_tokens", "answer_tokens", "first_token_seconds", "seconds", "finish", "shadow_of"),
    "deal",
)
RATING = ("id", "at", "rating", "text", "better")

_VERSION = 2  # of the tables
_WITHOUT_DEAL = 1  # the version before: nobody noted how users were dealt out
_WAIT_SECONDS = 2.0  # for another process that writes
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS exchanges (
      id TEXT PRIMARY KEY, at REAL NOT NULL, model TEXT NOT NULL, arm TEXT NOT NULL,
      adapter TEXT NOT NULL, version INTEGER, run_id TEXT, user TEXT NOT NULL,
      messages TEXT NOT NULL, answer TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
      answer_tokens INTEGER NOT NULL, first_token_seconds REAL NOT NULL, seconds REAL NOT NULL,
      finish TEXT NOT NULL, shadow_of TEXT, deal TEXT NOT NULL DEFAULT ''
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS ratings (
      number INTEGER PRIMARY KEY, id TEXT NOT NULL, at REAL NOT NULL, rating TEXT,
      text TEXT NOT NULL, better TEXT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS exchanges_by_time ON exchanges (at)",
    "CREATE INDEX IF NOT EXISTS exchanges_by_user ON exchanges (user)",
    "CREATE INDEX IF NOT EXISTS shadows ON exchanges (shadow_of) WHERE shadow_of IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS ratings_by_exchange ON ratings (id)",
)
_ADD_DEAL = "ALTER TABLE exchanges ADD COLUMN deal TEXT NOT NULL DEFAULT ''"
_SHOW_DEAL = "CREATE TEMP VIEW exchanges AS SELECT *, '' AS deal FROM main.exchanges"
_TWICE = {"exchanges": "ON CONFLICT (id) DO NOTHING", "ratings": ""}


def open_to_write(path: Path) -> sqlite3.Connection:
    """Return a connection that any one thread at a time may use; the file is made if need be.

    What is committed outlives the process, killed or not; a power cut may take the last commits.

    Raises:
        sqlite3.Error: if the file cannot be written, or is none.
        UserError: if another version of loraflow wrote it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    table = sqlite3.connect(
        path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _version_of(table, path)
        table.execute(
            "PRAGMA journal_mode=WAL"
        )  # readers and the writer do not wait for each other
        table.execute("PRAGMA synchronous=NORMAL")
        table.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
        _make_tables(table, path)
    except BaseException:
        table.close()
        raise
    return table


def require_log(path: Path) -> None:
    """Raise a UserError if nothing was ever logged there."""
    if not path.is_file():
        raise UserError(
            f"{path} is not there: no request has been logged; start make serve with "
            "serve.log=true, or set serve.folder to the folder of its log"
        )


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that cannot write, within one transaction: all it reads is of one moment.

    Raises:
        UserError: if there is no log, or it is damaged or of another version.
    """
    require_log(path)
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(
            sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        ) as table:
            if _version_of(table, path) == _WITHOUT_DEAL:
                table.execute(_SHOW_DEAL)
            table.row_factory = sqlite3.Row
            table.execute("BEGIN")
            yield table
    except sqlite3.Error as error:
        raise UserError(
            f"{path} cannot be read: {error}; if it is damaged, move it away and the server starts "
            "a new one"
        ) from error


def insert(table: sqlite3.Connection, name: str, row: Mapping[str, Any]) -> None:
    """Add a row to exchanges or ratings; an exchange that is there already stays as it is."""
    columns = RATING if name == "ratings" else EXCHANGE
    places = ", ".join(f":{column}" for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    table.execute(f"INSERT INTO {name} ({names}) VALUES ({places}) {_TWICE[name]}", dict(row))


def _make_tables(table: sqlite3.Connection, path: Path) -> None:
    """Make what is not there; tables of the version before get what they lack."""
    table.execute("BEGIN IMMEDIATE")
    if _version_of(table, path) == _WITHOUT_DEAL:
        table.execute(_ADD_DEAL)
    for statement in _TABLES:
        table.execute(statement)
    table.execute(f"PRAGMA user_version={_VERSION}")
    table.execute("COMMIT")


def _version_of(table: sqlite3.Connection, path: Path) -> int:
    """Return the version of the tables; 0 if there are none yet."""
    version: int = table.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _WITHOUT_DEAL, _VERSION):
        raise UserError(
            f"{path} was written by another version of loraflow (tables {version}, not "
            f"{_VERSION}); set serve.folder to a new folder"
        )
    return version
