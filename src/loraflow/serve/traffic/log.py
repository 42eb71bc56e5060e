"""Logs requests and ratings beside the server: no request waits for the disk, none fails for it."""

import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from loraflow.errors import UserError
from loraflow.serve.traffic.table import insert, open_to_write

_GATHER_SECONDS = 0.1  # rows that come within this time are committed together
_RETRY_SECONDS = 1.0  # after a full disk or a table that others keep locked
_CLOSE_SECONDS = 5.0  # that the end of the server may be held up
_LOOKUP_MILLISECONDS = 200  # that a rating waits for a table that is locked as a whole
_MOST_WAITING = 64 * 2**20  # characters, of rows that are not on disk yet
_ROW = 1000  # characters that a row counts for beside its texts

_UNFIT = (
    *(sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError),
    *(OverflowError, UnicodeError),
)  # faults of a row, not of the file

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    id: str
    at: float  # Unix time of the request
    model: str  # name that was asked for
    arm: str  # control, candidate, shadow, or nothing
    adapter: str  # digest
    version: int | None
    run_id: str | None
    user: str  # salted hash, never the name itself
    messages: list[dict[str, str]]
    answer: str
    prompt_tokens: int
    answer_tokens: int
    first_token_seconds: float
    seconds: float
    finish: str  # stop, length, cancelled, failed
    shadow_of: str | None  # id of the exchange that the user saw
    deal: str  # how users were dealt out, see split.py


@dataclass(frozen=True)
class _Row:
    table: Literal["exchanges", "ratings"]
    values: Mapping[str, Any]
    size: int


class TrafficLog:
    """The log, written by a thread of its own. All methods may be called from any thread.

    What was added is on disk a fraction of a second later. While the disk is full or the table
    locked it waits in memory, up to a bound; what goes beyond is lost, counted, and warned of once.
    """

    def __init__(self, path: Path) -> None:
        """Open the log, made if it is not there.

        Raises:
            UserError: if the file cannot be written to.
        """
        try:
            self._table = open_to_write(path)
            self._lookup = open_to_write(path)
            self._lookup.execute(f"PRAGMA busy_timeout={_LOOKUP_MILLISECONDS}")
        except (sqlite3.Error, OSError) as error:
            raise UserError(
                f"serve.folder={path.parent}: {path.name} cannot be written to: {error}; set "
                "serve.folder to another folder, or serve.log=false"
            ) from error
        self._path = path
        self._rows: deque[_Row] = deque()
        self._begun: set[str] = set()  # ids of exchanges that are not over yet
        self._waiting: dict[str, int] = {}  # and of those that are, but not on disk yet
        self._size = 0
        self._lost = 0
        self._warned: set[str] = set()
        self._closing = False
        self._changed = threading.Condition()
        self._reads = threading.Lock()
        self._thread = threading.Thread(target=self._write_all, name="traffic log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many rows were lost."""
        return self._lost

    def begin(self, id: str) -> None:
        """Know an exchange that `add` will log: users rate an answer while it is still written."""
        with self._changed:
            self._begun.add(id)

    def add(self, exchange: Exchange) -> None:
        """Log an exchange, soon."""
        values = {name: _clean(value) for name, value in asdict(exchange).items()}
        messages = [{name: _clean(text) for name, text in one.items()} for one in exchange.messages]
        values["messages"] = json.dumps(messages, ensure_ascii=False)
        self._add("exchanges", values)
        with self._changed:
            self._begun.discard(exchange.id)

    def rate(
        self, id: str, rating: Literal["up", "down"] | None, text: str = "", better: str = ""
    ) -> bool:
        """Log what a user says of an exchange; False if there is no such exchange.

        Everything that is said is kept; of each kind the latest counts. Where the log cannot be
        read, the user is believed.
        """
        with self._changed:
            is_known = id in self._begun or id in self._waiting
        if not is_known and not self._is_on_disk(id):
            return False
        said = {"id": id, "at": time.time(), "rating": rating, "text": text, "better": better}
        self._add("ratings", {name: _clean(value) for name, value in said.items()})
        return True

    def close(self) -> None:
        """Write what is left, and let go of the file."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_SECONDS)
        with self._changed:
            left = len(self._rows)
            self._lost += left
        if left:
            self._warn("end", f"{left} rows could not be written before the end")
        if not self._thread.is_alive():
            self._table.close()
        with self._reads:
            self._lookup.close()

    def _add(self, table: Literal["exchanges", "ratings"], values: Mapping[str, Any]) -> None:
        row = _Row(table, values, _ROW + sum(len(v) for v in values.values() if isinstance(v, str)))
        with self._changed:
            if self._closing or self._size + row.size > _MOST_WAITING:
                self._lost += 1
            else:
                self._rows.append(row)
                self._size += row.size
                if table == "exchanges":
                    self._waiting[values["id"]] = self._waiting.get(values["id"], 0) + 1
                self._changed.notify()
                return
        self._warn("lost", "there is no room for more rows: requests are answered but not logged")

    def _is_on_disk(self, id: str) -> bool:
        try:
            with self._reads:
                found = self._lookup.execute("SELECT 1 FROM exchanges WHERE id = ?", (_clean(id),))
                return found.fetchone() is not None
        except sqlite3.Error as error:
            self._warn("read", f"it cannot be read: {error}")
            return not self._closing

    def _write_all(self) -> None:
        """Write rows as they come; after a fault, try the same ones again."""
        for rows in self._batches():
            while (unfit := self._write(rows)) is None:
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait(_RETRY_SECONDS)
            self._done(rows, unfit)

    def _batches(self) -> Iterator[list[_Row]]:
        while True:
            with self._changed:
                while not self._rows and not self._closing:
                    self._changed.wait()
                if not self._rows:
                    return
            if not self._closing:
                time.sleep(_GATHER_SECONDS)
            with self._changed:
                rows = list(self._rows)
            yield rows

    def _write(self, rows: list[_Row]) -> int | None:
        """Commit all rows that are fit; return how many are not, None if nothing is on disk."""
        try:
            self._table.execute("BEGIN IMMEDIATE")
            unfit = sum(not self._insert(row) for row in rows)
            self._table.execute("COMMIT")
        except sqlite3.Error as error:
            self._warn("write", f"it cannot be written to: {error}; trying again")
            self._roll_back()
            return None
        return unfit

    def _insert(self, row: _Row) -> bool:
        """Insert a row; tell whether it is one that can be kept."""
        try:
            insert(self._table, row.table, row.values)
        except _UNFIT as error:  # it would never be written, and hold up all others
            self._warn("row", f"a row cannot be kept: {error}")
            return False
        return True

    def _roll_back(self) -> None:
        try:
            if self._table.in_transaction:
                self._table.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._warn("write", str(error))

    def _done(self, rows: list[_Row], unfit: int) -> None:
        with self._changed:
            self._lost += unfit
            for row in rows:
                self._rows.popleft()
                self._size -= row.size
                if row.table == "exchanges":
                    self._forget(row.values["id"])
            self._warned.discard("write")

    def _forget(self, id: str) -> None:
        self._waiting[id] -= 1
        if not self._waiting[id]:
            del self._waiting[id]

    def _warn(self, kind: str, words: str) -> None:
        with self._changed:
            is_new = kind not in self._warned
            self._warned.add(kind)
        if is_new:
            _log.warning("log of requests %s: %s", self._path.name, words)


def _clean(value: Any) -> Any:
    """Bring text into the form that a file can hold: no half of a surrogate pair."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
