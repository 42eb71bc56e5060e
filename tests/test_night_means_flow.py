"""What a night finds wrong with its means: half-written data, a full disk, where to start from."""

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.nights_project import Nights, good
from tests.nights_watched import Watched, dashboard, versions
from tests.test_flows import tiny_project

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# Appends a row every 50 ms, half of it first, until the file `stop` is there.
WRITER = """
import json, pathlib, sys, time
stop, number = pathlib.Path(sys.argv[2]), 0
with open(sys.argv[1], "a") as file:
    while not stop.exists():
        number += 1
        row = json.dumps({"instruction": f"Join {number} and more", "output": f"done {number}"})
        for part in (row[:20], row[20:] + "\\n"):
            file.write(part)
            file.flush()
            time.sleep(0.025)
print(number)
"""


@pytest.fixture(scope="module")
def nights(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """A line that has a champion, and that one test after another adds nights to."""
    nights = Nights(tiny_folder, tmp_path_factory.mktemp("means"))
    nights.write("day1.jsonl", good(120, seed=1))
    with dashboard(nights):
        ended(nights, "promoted")
        yield nights


def test_file_that_is_being_written_is_waited_for_and_never_trained_on_by_half(
    nights: Nights, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", WRITER, str(nights.data / "day2.jsonl"), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            failed = ended(nights, "failed", "night.settle_seconds=0.2", status=2)
            assert "day2.jsonl is still being written after 2 s" in failed.last().reason
            assert failed.champion == 1
            night = Watched(nights, "night.settle_seconds=1")
            night.until_said("data were just written to; waiting", times=2)
        finally:
            stop.touch()
        written = int(writer.communicate()[0])
    assert night.end() == 0, night.said[-3000:]
    assert nights.last().data["rows"] == 90 + written


def test_row_that_was_cut_in_two_is_counted_and_trained_on_once_it_is_whole(
    nights: Nights,
) -> None:
    before = nights.last().data
    path = nights.write("day3.jsonl", good(200, seed=3))
    whole = path.read_bytes()
    path.write_bytes(whole[:-25])
    half = ended(nights, ("promoted", "kept")).last().data
    assert half["rows"] == before["rows"] + 199
    assert half["rejected"] == before["rejected"] + 1
    path.write_bytes(whole)
    all_of_it = ended(nights, ("promoted", "kept")).last().data
    assert all_of_it["rows"] == before["rows"] + 200
    assert all_of_it["rejected"] == before["rejected"]


def test_full_disk_during_a_checkpoint_names_the_store_and_promotes_nothing(
    nights: Nights, tmp_path: Path
) -> None:
    champion, trained = nights.champion, len(versions(database(nights)))
    nights.write("day4.jsonl", good(300, seed=4))
    with small_disk(tmp_path / "disk") as disk:
        words = [f"store={disk / 'store'}", "train.checkpoint.steps=1"]
        night = Watched(nights, *words)
        unfinished = disk / "store" / "unfinished" / "train"
        night.until(lambda: list(unfinished.glob("*/checkpoints/step-*")))
        filler = fill(disk)
        assert night.end() == 2, night.said[-3000:]
        assert "Traceback" not in night.said
        last = nights.last()
        assert last.outcome == "failed"
        assert f"store={disk / 'store'}: the disk is full; free space" in last.reason
        assert (nights.champion, len(versions(database(nights)))) == (champion, trained)

        filler.unlink()
        night = Watched(nights, *words)
        assert night.end() == 0, night.said[-3000:]
        assert "going on from step" in night.said
        assert nights.last().outcome in ("promoted", "kept")
        assert len(versions(database(nights))) == trained + 1


def test_night_that_starts_from_the_champion_is_decided_against_it(nights: Nights) -> None:
    champion = nights.champion
    nights.write("day5.jsonl", good(900, seed=5))
    last = ended(nights, ("promoted", "kept"), "night.start=champion").last()
    assert last.decision is not None
    assert last.decision["reference"] == f"version {champion}"
    run = nights.project.client.get_run(last.run_id)
    assert run.data.params
    stage = json.loads((folder_of_training(nights) / "result.json").read_text())
    assert [name for name, _ in stage["inputs"]["reads"] if name == "champion"] == ["champion"]
    ended(nights, "skipped", "night.start=champion")
    failed = ended(nights, "failed", "night.start=champion", "adapter.r=3", status=2)
    assert "adapter.r=3 is asked for" in failed.last().reason


def test_night_follows_what_the_last_sweep_recommends(nights: Nights, tiny_folder: Path) -> None:
    nights.write("day6.jsonl", good(100, seed=6))
    failed = ended(nights, "failed", "night.settings=sweep", status=2)
    assert "night.settings=sweep: no sweep over tiny has recommended" in failed.last().reason

    words = ["sweep=smoke", "adapter.r=2,4", "sweep.seeds=[0]", "sweep.compare.metric=loss"]
    words += ["data=file", f"data.path={nights.data / 'day1.jsonl'}", "data.train_rows=64"]
    words += ["train.max_steps=30", "train.learning_rate=0.01", "evaluate.max_new_tokens=4"]
    words += [f"sweep.search.storage=sqlite:///{nights.project.folder / 'sweeps.db'}"]
    done = tiny_project(tiny_folder, nights.project.folder, *words).run_flow("sweep")
    assert done.returncode == 0, done.stderr[-3000:]
    (r,) = [json.loads(note)["adapter.r"] for note in recommended(nights)]
    last = ended(nights, ("promoted", "kept"), "night.settings=sweep").last()
    assert nights.project.client.get_run(last.run_id).data.params["adapter.r"] == str(r)


def ended(nights: Nights, outcome: str | tuple[str, ...], *words: str, status: int = 0) -> Nights:
    """Run a night, and see how it ended."""
    night = Watched(nights, *words)
    assert night.end() == status, night.said[-3000:]
    assert "Traceback" not in night.said
    assert nights.last().outcome in outcome, nights.last()
    assert nights.last().champion == nights.champion
    return nights


def database(nights: Nights) -> Path:
    return nights.project.folder / "mlruns" / "mlflow.db"


def folder_of_training(nights: Nights) -> Path:
    """Return the newest output of the stage train."""
    folders = (nights.project.folder / "store" / "train").iterdir()
    return max(folders, key=lambda folder: folder.stat().st_mtime)


def recommended(nights: Nights) -> list[Any]:
    tags = [run.data.tags for run in nights.project.mlflow_runs()]
    return [one["loraflow.recommended"] for one in tags if "loraflow.recommended" in one]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of 128 MiB, where that is allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here, so none can be filled")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return filler
