"""`make ab` and `make feedback`, as they are typed."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.serve.traffic.split import deal_of, hashed_user
from tests.serve.traffic.made_traffic import SETTINGS, Said, exchange, rows_of, write_log

ROOT = Path(__file__).parents[3]


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows.traffic", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ann, now = hashed_user("ann", SETTINGS), time.time()
    exchanges = [
        exchange("b", arm="candidate", answer="好", at=now - 9),
        exchange("a", user=ann, at=now - 8),
        exchange("c", at=now - 7),
    ]
    ratings = [
        Said("a", now - 6, "down", "太短", "长一点的回答"),
        *(Said("b", now - 5, "up"), Said("c", now - 4, "up")),
    ]
    write_log(tmp_path / "服务" / "log.db", exchanges, ratings)
    return tmp_path / "服务"


def test_the_table_and_the_page_show_the_test(folder: Path) -> None:
    done = command("ab", f"serve.folder={folder}")
    assert done.returncode == 0, done.stderr
    assert "Not yet told apart" in done.stdout
    assert "candidate, version 4" in done.stdout
    assert "太短" in (folder / "ab" / "ab.html").read_text(encoding="utf-8")


def test_feedback_is_written_where_it_is_wanted(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "反馈"
    done = command("feedback", f"serve.folder={folder}", f"out={out}")
    assert done.returncode == 0, done.stderr
    assert "1 preference pairs" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["kto.jsonl", "pairs.jsonl"]


def test_a_user_can_be_forgotten(folder: Path) -> None:
    other = deal_of(replace(SETTINGS, salt="another"))
    write_log(folder / "log.db", [exchange("d", deal=other)])
    done = command("ab", f"serve.folder={folder}", "forget=ann")
    assert done.stdout.startswith("1 requests deleted")
    assert "1 requests have another serve.traffic.salt" in done.stdout
    assert [row["id"] for row in rows_of(folder / "log.db", "exchanges")] == ["b", "c", "d"]


@pytest.mark.parametrize("name", ["ab", "feedback"])
def test_a_place_that_cannot_be_written_is_named(name: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("taken", encoding="utf-8")
    done = command(name, f"serve.folder={folder}", f"out={tmp_path / 'file' / 'deeper'}")
    assert done.returncode == 2
    assert "set out= to another folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ab", "serve.folder=/nowhere"], "make serve with serve.log=true"),
        (["ab", "serve.traffic.mode=both"], "serve.traffic.mode"),
        (["ab", "serve.traffic.share=1"], "serve.traffic.share"),
        (["ab", "forget="], "forget=NAME"),
        (["ab", "forget=ann", "serve.folder=/nowhere"], "is not there"),
        (["feedback", "forget=ann"], "give it to make ab"),
        (["abc"], "choose from ab, feedback"),
        ([], "choose from ab, feedback"),
    ],
)
def test_mistakes_are_answered_with_the_fix(words: list[str], message: str) -> None:
    done = command(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_says_how() -> None:
    assert "make feedback" in command("--help").stdout
