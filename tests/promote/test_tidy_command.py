"""`make tidy` shows what would go and why, and then removes just that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loraflow.promote.tidy.tidy import GIB
from loraflow.store import Store, Summary, make_key

ROOT = Path(__file__).parents[2]
OLD, NEW = make_key("prepare", 1, day=1), make_key("prepare", 1, day=2)


@pytest.fixture
def words(tmp_path: Path, tiny_folder: Path) -> list[str]:
    return [
        *["model=folder", f"model.location={tiny_folder}", f"store={tmp_path / 'store'}"],
        f"tracking.uri=sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}",
        "night.name=夜间",
        f"night.folder={tmp_path / 'nights'}",
        f"night.disk_gib={1.5 * 2**20 / GIB}",
    ]


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows.tidy", *words],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def megabyte(out: Path) -> Summary:
    (out / "rows").write_bytes(os.urandom(2**20))
    return {}


def test_a_dry_run_shows_what_goes_and_the_next_run_removes_it(
    words: list[str], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    for used, key in enumerate((OLD, NEW), start=1):
        Store(store.root).run(key, megabyte)
        os.utime(store.root / "used" / key.digest[:20], (used, used))
        os.utime(store.folder(key) / "result.json", (used, used))
    looked = command(*words, "dry_run=true")
    assert looked.returncode == 0, looked.stderr
    gone, _, left = looked.stdout.partition("would stay")
    assert f"prepare/{OLD.digest[:20]}" in gone
    assert "not used for the longest time" in gone
    assert f"prepare/{NEW.digest[:20]}" in left
    assert store.has(OLD)
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert f"prepare/{OLD.digest[:20]}" in done.stdout
    assert [store.has(OLD), store.has(NEW)] == [False, True]


def test_a_wish_that_is_not_understood_removes_nothing(words: list[str], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.run(OLD, megabyte)
    refused = command(*words, "night.disk_gib=1e-9", "dry_run=yes")
    assert refused.returncode == 2
    assert "dry_run=yes is unknown; choose from dry_run=true, dry_run=false" in refused.stderr
    assert store.has(OLD)
