"""An output that is there is whole, whatever was killed, and it is made once."""

import errno
import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.store import Key, Store, Summary, make_key

KEY = make_key("train", 1, r=8)
SCRIPT = """
import sys, time
from pathlib import Path
from loraflow.store import Store, make_key

def stage(out):
    (out / "half.txt").write_text("half")
    with Path(sys.argv[2]).open("a") as runs:
        runs.write("run\\n")
    print("inside", flush=True)
    time.sleep(float(sys.argv[3]))
    return {}

print(Store(Path(sys.argv[1])).run(make_key("train", 1, r=8), stage))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def start_stage(store: Store, runs: Path, seconds: float) -> "subprocess.Popen[str]":
    """Start another process that runs KEY's stage, taking so many seconds inside it."""
    arguments = [str(store.root), str(runs), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True
    )


def write_word(out: Path) -> Summary:
    assert not list(out.iterdir())
    (out / "word.txt").write_text("whole")
    return {"counts": {"words": 1}}


def fail_with(error: Exception) -> Callable[[Path], Summary]:
    def stage(out: Path) -> Summary:
        (out / "half.txt").write_text("half")
        raise error

    return stage


def test_key_is_the_same_whatever_the_order_of_inputs() -> None:
    first = make_key("train", 1, r=8, train={"seed": 0, "optim": "sgd"})
    second = make_key("train", 1, train={"optim": "sgd", "seed": 0}, r=8)
    assert first.digest == second.digest


@pytest.mark.parametrize(
    "other",
    [
        make_key("train", 1, r=9),
        make_key("train", 1, r="8"),
        make_key("train", 1, r=8, alpha=16),
        make_key("train", 2, r=8),
        make_key("tune", 1, r=8),
        make_key("train", 1, r=8, reads=[make_key("prepare", 1)]),
    ],
)
def test_key_changes_with_all_that_the_output_depends_on(other: Key) -> None:
    assert other.digest != KEY.digest


def test_key_changes_with_what_is_read() -> None:
    upstream = [make_key("prepare", 1, seed=seed) for seed in (0, 1)]
    digests = {make_key("train", 1, reads=[key]).digest for key in upstream}
    assert len(digests) == 2


def test_key_depends_on_every_output_read_of_one_stage() -> None:
    first, second = (make_key("prepare", 1, seed=seed) for seed in (0, 1))
    both = make_key("train", 1, reads=[first, second])
    assert both.digest != make_key("train", 1, reads=[second]).digest


def test_finished_output_is_not_made_again(store: Store) -> None:
    folder = store.run(KEY, write_word)
    assert store.run(KEY, fail_with(AssertionError("ran again"))) == folder
    assert (folder / "word.txt").read_text() == "whole"


def test_result_tells_what_went_in_and_what_came_out(store: Store) -> None:
    store.run(KEY, write_word)
    result = store.result(KEY)
    assert {name: result[name] for name in ("stage", "key", "inputs", "counts")} == {
        "stage": "train",
        "key": KEY.digest,
        "inputs": {"version": 1, "r": 8, "reads": []},
        "counts": {"words": 1},
    }
    assert result["seconds"] >= 0
    assert result["peak_memory_gib"] > 0
    assert result == read_json(store.folder(KEY) / "result.json")


def test_result_has_the_digest_of_every_file_but_its_own(store: Store) -> None:
    def stage(out: Path) -> Summary:
        (out / "word.txt").write_text("whole")
        (out / "adapter").mkdir()
        (out / "adapter" / "empty").touch()
        return {}

    store.run(KEY, stage)
    assert store.result(KEY)["digests"] == {
        "adapter/empty": hashlib.sha256(b"").hexdigest(),
        "word.txt": hashlib.sha256(b"whole").hexdigest(),
    }


def test_result_tells_what_it_was_computed_on(store: Store) -> None:
    store.run(KEY, write_word)
    found = store.result(KEY)["hardware"]
    assert found["processor"]
    assert found["threads"] >= 1


def test_stage_that_raises_leaves_no_output(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        store.run(KEY, fail_with(ZeroDivisionError()))
    assert not store.has(KEY)
    assert (store.run(KEY, write_word) / "word.txt").read_text() == "whole"


def test_summary_that_is_not_json_leaves_no_output(store: Store) -> None:
    with pytest.raises(TypeError):
        store.run(KEY, lambda _: {"metrics": object()})
    assert not store.has(KEY)


def test_killed_stage_leaves_no_output_and_the_next_run_succeeds(
    store: Store, tmp_path: Path
) -> None:
    with start_stage(store, tmp_path / "runs", 60) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "inside\n"
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert not store.has(KEY)
    folder = store.run(KEY, write_word)  # write_word asserts that its folder starts empty
    assert {path.name for path in folder.iterdir()} == {"word.txt", "result.json"}


def test_two_processes_that_want_one_output_make_it_once(store: Store, tmp_path: Path) -> None:
    processes = [start_stage(store, tmp_path / "runs", 0.5) for _ in range(2)]
    folders = {process.communicate(timeout=60)[0].splitlines()[-1] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert folders == {str(store.folder(KEY))}
    assert (tmp_path / "runs").read_text() == "run\n"


def test_full_disk_names_the_store(store: Store) -> None:
    def fill_disk(_: Path) -> Summary:
        Path("/dev/full").write_text("a write to this device fails as on a full disk")
        return {}

    with pytest.raises(UserError, match=r"^store=.*disk is full.*set store=FOLDER"):
        store.run(KEY, fill_disk)
    assert not store.has(KEY)


def test_spent_quota_names_the_store(store: Store) -> None:
    with pytest.raises(UserError, match=r"^store=.*set store=FOLDER"):
        store.run(KEY, fail_with(OSError(errno.EDQUOT, "quota", "the.bin")))


def test_other_faults_of_the_system_pass_unchanged(store: Store) -> None:
    with pytest.raises(PermissionError):
        store.run(KEY, fail_with(PermissionError(errno.EACCES, "no")))


def test_deleted_output_is_made_again(store: Store) -> None:
    folder = store.run(KEY, write_word)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert not store.has(KEY)
    assert (store.run(KEY, write_word) / "word.txt").exists()


def test_output_stays_put_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("store"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.run(KEY, write_word).parent == tmp_path / "store" / "train"


def test_stage_may_write_folders(store: Store) -> None:
    def stage(out: Path) -> dict[str, Any]:
        (out / "adapter").mkdir()
        write_json(out / "adapter" / "config.json", {"r": 8})
        return {}

    assert read_json(store.run(KEY, stage) / "adapter" / "config.json") == {"r": 8}


def test_what_an_interrupted_stage_has_cost_counts_for_the_one_that_goes_on(store: Store) -> None:
    key = make_key("train", 1)

    def interrupted(_: Path) -> dict[str, int]:
        store.work(key).mkdir(parents=True, exist_ok=True)
        time.sleep(0.1)
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            store.run(key, interrupted)
    store.run(key, lambda _: {})
    assert store.result(key)["seconds"] >= 0.2
    assert not store.work(key).exists()
