"""What a user asked, got and said is gone for good, or an error says what is left to do."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.errors import UserError
from loraflow.serve.traffic import forget as forgetting
from loraflow.serve.traffic import table as tables
from loraflow.serve.traffic.forget import Forgotten, forget_user
from loraflow.serve.traffic.split import deal_of, hashed_user
from loraflow.serve.traffic.table import reading
from tests.serve.traffic.made_traffic import SETTINGS, START, Said, exchange, rows_of, write_log

SECRET = b"geheim"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ann, bob = (hashed_user(name, SETTINGS) for name in ("ann", "bob"))
    exchanges = [
        exchange("a", user=ann, answer="geheim-eins" * 1000),
        exchange("s", user=ann, answer="geheim-zwei", arm="shadow", shadow_of="a"),
        exchange("b", user=bob),
    ]
    said = [Said("a", START, "down", "geheim-drei"), Said("b", START, "up")]
    return write_log(tmp_path / "服务" / "log.db", exchanges, said)


def ids(path: Path) -> list[str]:
    return [row["id"] for row in rows_of(path, "exchanges")]


def holds_secret(path: Path) -> bool:
    return any(SECRET in file.read_bytes() for file in path.parent.iterdir())


def test_what_is_forgotten_is_not_in_the_file_either(path: Path) -> None:
    assert holds_secret(path)
    assert forget_user(path, "ann", SETTINGS) == Forgotten(requests=1, others=0)
    assert ids(path) == ["b"]
    assert [row["id"] for row in rows_of(path, "ratings")] == ["b"]
    assert not holds_secret(path)


def test_requests_under_other_salts_are_counted(path: Path) -> None:
    other = deal_of(replace(SETTINGS, salt="another", mode="off"))
    shadow = deal_of(replace(SETTINGS, mode="shadow"))  # the same salt
    write_log(
        path,
        [exchange("x", deal=other), exchange("y", deal=""), exchange("z", deal=shadow)],
    )
    assert forget_user(path, "ann", SETTINGS).others == 2


def test_nobody_of_a_name_is_an_error_that_names_the_salt(path: Path) -> None:
    wrong = replace(SETTINGS, salt="another")
    with pytest.raises(UserError, match=r"forget=ann.*serve\.traffic\.salt=SALT.*; 2 requests"):
        forget_user(path, "ann", wrong)
    assert ids(path) == ["a", "s", "b"]


def test_without_a_log_nobody_is_forgotten(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not there.*serve\.folder"):
        forget_user(tmp_path / "log.db", "ann", SETTINGS)
    assert not list(tmp_path.iterdir())


def test_what_is_half_done_is_said_and_done_by_the_next_try(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads the file meanwhile, so its old pages cannot go."""
    monkeypatch.setattr(tables, "_WAIT_SECONDS", 0.05)
    with reading(path) as table:
        table.execute("SELECT count(*) FROM exchanges").fetchone()
        with pytest.raises(UserError, match=r"another process is reading it.*text may still lie"):
            forget_user(path, "ann", SETTINGS)
    assert ids(path) == ["b"]
    with pytest.raises(UserError, match="nobody of this name"):
        forget_user(path, "ann", SETTINGS)
    assert not holds_secret(path)


def test_a_disk_without_room_to_compact_is_no_failed_deletion(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(forgetting, "_compact", full)
    with pytest.raises(UserError, match=r"disk is full; the rows are deleted, but their text"):
        forget_user(path, "ann", SETTINGS)
    assert ids(path) == ["b"]


def test_a_locked_log_is_left_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_WAIT_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="nothing is deleted yet"):
            forget_user(path, "ann", SETTINGS)
    assert ids(path) == ["a", "s", "b"]
