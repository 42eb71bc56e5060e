"""The log outlives whatever happens to the process, and no request waits or fails for it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from loraflow.errors import UserError
from loraflow.serve.traffic import log as logging
from loraflow.serve.traffic.log import TrafficLog
from loraflow.serve.traffic.ratings import Said, latest
from loraflow.serve.traffic.table import reading
from tests.serve.traffic.made_traffic import exchange, rows_of

SOON = 5.0  # seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "服务" / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[TrafficLog]:
    opened = TrafficLog(path)
    yield opened
    opened.close()


def soon(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def count(path: Path, name: str = "exchanges") -> int:
    return len(list(rows_of(path, name)))


def test_an_exchange_is_kept_as_it_was(log: TrafficLog, path: Path) -> None:
    talk = [{"role": "system", "content": "简短回答。"}, {"role": "user", "content": 'O"Neil\0?'}]
    log.add(exchange("a", messages=talk, answer="好的 🙂", user="u", version=None, run_id=None))
    log.close()
    (row,) = rows_of(path, "exchanges")
    assert json.loads(row["messages"]) == talk
    assert (row["answer"], row["user"], row["version"]) == ("好的 🙂", "u", None)


def test_of_each_kind_the_latest_that_was_said_counts(log: TrafficLog, path: Path) -> None:
    log.add(exchange("a"))
    assert log.rate("a", "up", text="不错")
    assert log.rate("a", "down")
    assert log.rate("a", None, better="更好的回答")
    log.close()
    assert count(path, "ratings") == 3
    with reading(path) as table:
        assert latest(table) == {"a": Said("down", "不错", "更好的回答")}


def test_only_what_was_answered_can_be_rated(log: TrafficLog, path: Path) -> None:
    log.add(exchange("a"))
    assert log.rate("a", "up")  # not on disk yet
    soon(lambda: count(path) == 1)
    assert log.rate("a", "up")
    assert not log.rate("b", "up")
    assert not log.rate("\ud83d", "up")


def test_an_answer_can_be_rated_while_it_is_still_written(log: TrafficLog, path: Path) -> None:
    log.begin("a")
    assert log.rate("a", "down", text="太慢")
    log.add(exchange("a"))
    assert log.rate("a", "up")
    log.close()
    assert [row["rating"] for row in rows_of(path, "ratings")] == ["down", "up"]
    with reading(path) as table:
        assert latest(table) == {"a": Said("up", "太慢", "")}
    assert log._begun == set()


def test_the_first_of_two_exchanges_of_one_id_stays(log: TrafficLog, path: Path) -> None:
    for answer in ("一", "二"):
        log.add(exchange("a", answer=answer))
    log.close()
    assert [row["answer"] for row in rows_of(path, "exchanges")] == ["一"]
    assert log.lost == 0


def test_halves_of_surrogate_pairs_are_no_fault(log: TrafficLog, path: Path) -> None:
    log.add(exchange("a", messages=[{"role": "user", "content": "x\ud83d"}], answer="\ude00y"))
    assert log.rate("a", "down", text="\ud83d\ude00", better="\udc00")
    log.close()
    (row,), (said,) = rows_of(path, "exchanges"), rows_of(path, "ratings")
    assert (json.loads(row["messages"])[0]["content"], row["answer"]) == ("x\ufffd", "\ufffdy")
    assert said["text"] == "😀"


class Listened:
    """A connection whose statements are heard first."""

    def __init__(self, table: sqlite3.Connection, hear: Callable[[str], None]) -> None:
        self._table = table
        self._hear = hear

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self._hear(statement)
        return self._table.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


def test_a_row_that_cannot_be_kept_holds_up_no_other(log: TrafficLog, path: Path) -> None:
    log.add(exchange("a", prompt_tokens=2**70))
    log.add(exchange("b"))
    log.add(exchange("c", adapter=None))  # of which SQLite alone says that it is a fault
    log.rate("b", "up", text=cast(str, None))
    log.close()
    assert [row["id"] for row in rows_of(path, "exchanges")] == ["b"]
    assert log.lost == 3


def test_what_is_lost_is_counted_once_however_often_it_is_tried(
    log: TrafficLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that waits for a lock has a row that cannot be kept."""
    monkeypatch.setattr(logging, "_RETRY_SECONDS", 0.05)
    tries = 0

    def commit_fails_at_first(statement: str) -> None:
        nonlocal tries
        tries += statement == "COMMIT"
        if statement == "COMMIT" and tries < 4:
            raise sqlite3.OperationalError("database is locked")

    log._table = cast(sqlite3.Connection, Listened(log._table, commit_fails_at_first))
    log.add(exchange("a", prompt_tokens=2**70))
    log.add(exchange("b"))
    soon(lambda: count(path) == 1)
    log.close()
    assert (tries, log.lost) == (4, 1)


def test_many_threads_write_and_two_read(log: TrafficLog, path: Path) -> None:
    def work(name: int) -> None:
        for number in range(100):
            log.add(exchange(f"{name}-{number}"))
            assert log.rate(f"{name}-{number}", "up")

    with reading(path) as one, reading(path) as other:
        threads = [threading.Thread(target=work, args=[name]) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log.close()
        seen = [
            table.execute("SELECT count(*) FROM exchanges").fetchone()[0] for table in (one, other)
        ]
    assert seen[0] <= 800  # of the moment at which it began to read
    assert (count(path), count(path, "ratings"), log.lost) == (800, 800, 0)


KILLED = """
import sys, time
from pathlib import Path
from loraflow.serve.traffic.log import TrafficLog
from tests.serve.traffic.made_traffic import exchange
log = TrafficLog(Path(sys.argv[1]))
for number in range(10**9):
    log.add(exchange(str(number)))
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


def test_kill_takes_no_more_than_the_last_fraction_of_a_second(path: Path) -> None:
    added: list[tuple[int, float]] = []
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            number, at = line.split()
            added.append((int(number), float(at)))
            if len(added) == 1000:
                os.kill(process.pid, signal.SIGKILL)
                killed = time.time()
                break
    rows = [int(row["id"]) for row in rows_of(path, "exchanges")]
    assert rows == list(range(len(rows)))
    due = [number for number, at in added if at < killed - 1.0]
    assert due and set(due) <= set(rows)
    log = TrafficLog(path)  # the next server goes on
    log.add(exchange("next"))
    log.close()
    assert count(path) == len(rows) + 1


def test_a_locked_table_holds_up_no_request(
    log: TrafficLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "_RETRY_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        for number in range(200):
            log.add(exchange(str(number)))
            assert log.rate(str(number), "up")
        assert time.monotonic() - begun < 1
        other.execute("ROLLBACK")
    soon(lambda: count(path, "ratings") == 200)
    assert log.lost == 0


def test_a_full_disk_holds_up_no_request_and_what_waits_is_written_later(
    log: TrafficLog, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(logging, "_MOST_WAITING", 300_000)
    pages = log._table.execute("PRAGMA page_count").fetchone()[0]
    log._table.execute(f"PRAGMA max_page_count={pages + 2}")  # SQLITE_FULL, as of a disk
    for number in range(100):
        log.add(exchange(str(number), answer="答" * 10_000))
    assert 0 < log.lost < 100
    assert log._size <= 300_000
    lost = log.lost
    time.sleep(0.3)
    log._table.execute(f"PRAGMA max_page_count={2**30}")
    soon(lambda: count(path) == 100 - lost)
    assert log.rate("0", "up") and not log.rate("99", "up")
    assert caplog.text.count("cannot be written to") == 1
    assert caplog.text.count("no room for more rows") == 1
    assert "服务" not in caplog.text  # no path of the machine


def test_close_waits_for_no_lock(log: TrafficLog, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        log.add(exchange("a"))
        begun = time.monotonic()
        log.close()
        assert time.monotonic() - begun < 8
        log.add(exchange("b"))  # too late, and no fault
        log.close()  # again, and no fault
    assert log.lost == 2  # what was left is lost too


def test_a_log_that_cannot_be_opened_is_refused_with_the_fix(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(UserError, match=r"serve\.folder=.*serve\.log=false"):
        TrafficLog(path)
    with pytest.raises(UserError, match="cannot be read"), reading(path):
        pass


def test_a_log_of_another_version_is_refused(log: TrafficLog, path: Path) -> None:
    log.close()
    with closing(sqlite3.connect(path)) as table:
        table.execute("PRAGMA user_version=9")
    with pytest.raises(UserError, match="another version"):
        TrafficLog(path)


def test_who_reads_before_any_request_is_told_what_to_do(path: Path) -> None:
    with pytest.raises(UserError, match=r"make serve with serve\.log=true"), reading(path):
        pass
