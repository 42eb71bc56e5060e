"""The budget is kept, oldest use first, and nothing that is needed goes, whatever is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from loraflow.files import hash_content, read_json, write_json
from loraflow.promote.tidy.tidy import GIB, Piece, choose, survey, tidy
from loraflow.store import Key, Store, Summary, make_key

MEGABYTE = 2**20
JOB = """
import sys
from pathlib import Path
from loraflow.store import Store, make_key

def stage(out):
    (out / "half").write_text("half")
    work = store.work(key)
    work.mkdir(parents=True)
    (work / "checkpoint").write_text("step 7")
    print("at work", flush=True)
    sys.stdin.read()
    return {}

store = Store(Path(sys.argv[1]))
store.hold(make_key("prepare", 1, day=1))
key = make_key("train", 1, day="tonight")
store.run(key, stage)
"""
TIDY = """
import sys
from pathlib import Path
from loraflow.promote.tidy.tidy import tidy
tidy(Path(sys.argv[1]), 0, {})
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "仓库")


def key_of(stage: str, day: object, reads: Sequence[Key] = ()) -> Key:
    return make_key(stage, 1, reads=reads, day=day)


def fill(root: Path, key: Key, *, used: float) -> Path:
    """Make an output of a megabyte that was last used so many seconds after 1970."""

    def stage(out: Path) -> Summary:
        (out / "weights").write_bytes(os.urandom(MEGABYTE))
        return {}

    folder = Store(root).run(key, stage)  # this store is not in use behind this line
    os.utime(root / "used" / key.digest[:20], (used, used))
    os.utime(folder / "result.json", (used, used))
    return folder


def start(script: str, root: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def left_in(store: Store, *keys: Key) -> list[bool]:
    return [store.has(key) for key in keys]


def test_what_was_used_longest_ago_goes_until_the_budget_is_kept(store: Store) -> None:
    days = [key_of("train", day) for day in range(4)]
    for day, key in enumerate(days):
        fill(store.root, key, used=100.0 + day)
    gone = tidy(store.root, 2.5 * MEGABYTE / GIB, {})
    assert left_in(store, *days) == [False, False, True, True]
    assert [piece.path for piece in gone] == [store.folder(key) for key in days[:2]]


def test_found_in_the_store_counts_as_use(store: Store) -> None:
    old, newer = key_of("train", 1), key_of("train", 2)
    fill(store.root, old, used=1.0)
    fill(store.root, newer, used=2.0)
    Store(store.root).hold(old)
    tidy(store.root, 1.5 * MEGABYTE / GIB, {})
    assert left_in(store, old, newer) == [True, False]


def test_what_is_kept_and_what_it_read_stays_though_the_budget_is_zero(store: Store) -> None:
    prepare = key_of("prepare", 1)
    tokenize = key_of("tokenize", 1, [prepare])
    champion = key_of("train", 1, [tokenize])
    other = key_of("train", 2, [tokenize])
    for key in (prepare, tokenize, champion, other):
        fill(store.root, key, used=1.0)
    tidy(store.root, 0, {champion.digest: "the champion"})
    assert left_in(store, prepare, tokenize, champion, other) == [True, True, True, False]


def test_a_running_job_keeps_what_it_makes_and_what_it_holds(store: Store) -> None:
    prepare, other = key_of("prepare", 1), key_of("prepare", 2)
    running = key_of("train", "tonight")
    fill(store.root, prepare, used=1.0)
    fill(store.root, other, used=2.0)
    with start(JOB, store.root) as job:
        assert job.stdout is not None
        assert job.stdin is not None
        assert job.stdout.readline() == "at work\n"
        tidy(store.root, 0, {})
        partial = store.folder(running).with_name(f"{running.digest[:20]}.partial")
        assert (partial / "half").exists()
        assert (store.work(running) / "checkpoint").exists()
        assert left_in(store, prepare, other) == [True, False]
        job.stdin.close()
        assert job.wait(timeout=60) == 0
    assert store.has(running)
    tidy(store.root, 0, {})
    assert left_in(store, prepare, running) == [False, False]


def test_unfinished_work_is_kept_for_who_planned_it_and_goes_first_when_it_is_done(
    store: Store,
) -> None:
    planned, dropped, done = (key_of("train", name) for name in ("planned", "dropped", "done"))
    fill(store.root, done, used=5.0)
    for key in (planned, dropped, done):
        store.work(key).mkdir(parents=True)
        (store.work(key) / "checkpoint").write_bytes(bytes(MEGABYTE))
    with_plan = Store(store.root)
    with_plan.hold(planned)
    tidy(store.root, 100, {})
    assert [store.work(key).exists() for key in (planned, dropped, done)] == [True, True, False]
    tidy(store.root, 0, {})
    assert [store.work(key).exists() for key in (planned, dropped)] == [True, False]
    with_plan.hold(planned)  # still in use


def test_what_a_dead_process_left_goes_though_the_budget_is_kept(store: Store) -> None:
    running = key_of("train", "tonight")
    with start(JOB, store.root) as job:
        assert job.stdout is not None
        job.stdout.readline()
        job.kill()
    (gone, *_) = tidy(store.root, 100, {})
    assert gone.kind == "leftover"
    assert not gone.path.exists()
    assert (store.work(running) / "checkpoint").exists()  # the next run goes on from there


def test_killed_in_the_middle_nothing_passes_for_complete_and_the_rest_goes_next(
    store: Store,
) -> None:
    key = key_of("train", 1)

    def stage(out: Path) -> Summary:
        for number in range(20_000):
            (out / str(number)).write_text("x")
        return {}

    Store(store.root).run(key, stage)
    trash = store.folder(key).with_name(f"{key.digest[:20]}.trash")
    with start(TIDY, store.root) as process:
        while not trash.exists() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert not store.has(key) or is_whole(store.folder(key))
    assert trash.exists(), "killed too late for this test to mean anything"
    tidy(store.root, 100, {})
    assert not trash.exists()


def is_whole(folder: Path) -> bool:
    digests = read_json(folder / "result.json")["digests"]
    return all(hash_content(folder / name) == digest for name, digest in digests.items())


def test_outputs_of_a_sweep_that_runs_are_kept_for_its_report(store: Store) -> None:
    sweep, trained, other = key_of("sweep", 1), key_of("train", 1), key_of("train", 2)
    notes = store.root / "sweep" / sweep.digest[:20] / "trials" / "a.json"
    notes.parent.mkdir(parents=True)
    folder = fill(store.root, trained, used=1.0)
    fill(store.root, other, used=2.0)
    write_json(notes, {"trained": str(folder), "evaluated": "", "graded": ""})
    with store.lock(sweep):
        tidy(store.root, 0, {})
    assert left_in(store, trained, other) == [True, False]
    tidy(store.root, 0, {})
    assert not store.has(trained)
    assert notes.exists()


def test_folders_that_are_no_outputs_are_left_alone(store: Store) -> None:
    mine = store.root / "train" / "my notes"
    hex_name = store.root / "train" / ("ab" * 10)
    for folder in (mine, hex_name):
        folder.mkdir(parents=True)
        (folder / "text").write_text("mine")
    tidy(store.root, 0, {})
    assert (mine / "text").exists()
    assert (hex_name / "text").exists()


def test_a_survey_says_why_and_removes_nothing(store: Store) -> None:
    champion, other = key_of("train", 1), key_of("train", 2)
    fill(store.root, champion, used=1.0)
    fill(store.root, other, used=2.0)
    pieces = survey(store.root, {champion.digest: "the champion"})
    assert [(piece.path, piece.needed) for piece in pieces] == [
        (store.folder(champion), "the champion"),
        (store.folder(other), ""),
    ]
    assert [piece.path for piece in choose(pieces, 0)] == [store.folder(other)]
    assert left_in(store, champion, other) == [True, True]


def test_other_files_share_the_budget_and_stay_if_they_are_needed(
    store: Store, tmp_path: Path
) -> None:
    pieces = []
    for name, needed in {"old": "", "版本": "the champion"}.items():
        folder = tmp_path / "artifacts" / name
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(MEGABYTE))
        pieces.append(Piece("artifacts", folder, MEGABYTE, 1.0, needed=needed))
    tidy(store.root, 0, {}, pieces)
    assert sorted(path.name for path in (tmp_path / "artifacts").iterdir()) == ["版本"]


def test_a_budget_that_cannot_be_kept_is_said(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    champion = key_of("train", 1)
    fill(store.root, champion, used=1.0)
    tidy(store.root, 0, {champion.digest: "the champion"})
    assert "night.disk_gib" in caplog.text
