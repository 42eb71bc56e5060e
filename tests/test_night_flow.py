"""Nights as a user starts them: seven of them on the tiny model, one after another."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from loraflow.promote.gate.gate_set import read_gate
from loraflow.promote.registry.registry import Registry
from tests.nights_project import Nights, chinese, good, poisoned, tracking_of, wrong

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def nights(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(tiny_folder, tmp_path_factory.mktemp("nights"))


def test_first_night_is_decided_against_the_base_and_the_second_has_no_data(
    nights: Nights,
) -> None:
    nights.write("day1.jsonl", good(120, seed=1))
    done = nights.run()
    assert done.returncode == 0, done.stderr
    first = nights.last()
    assert (first.outcome, first.version, nights.champion) == ("promoted", 1, 1)
    assert first.decision is not None
    assert first.decision["reference"] == "base model"
    assert first.data["rows"] == 90
    assert first.data["gate_rows_removed"] == 30
    gate = read_gate(nights.line.gate)
    assert gate is not None
    assert first.decision["gate"] == gate.digest

    done = nights.run()
    assert done.returncode == 0, done.stderr
    assert "Skipped: no new data" in done.stdout
    second = nights.last()
    assert (second.outcome, second.champion) == ("skipped", 1)
    assert second.run_id == ""


def test_wrong_words_are_a_short_error_and_no_night(nights: Nights) -> None:
    before = len(nights.line.nights())
    done = nights.run("adapter.r=0", "gate.margin=-1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(nights.line.nights()) == before


@pytest.mark.slow
def test_champion_is_not_compared_with_itself(tiny_folder: Path, tmp_path: Path) -> None:
    nights = Nights(tiny_folder, tmp_path)
    nights.write("day1.jsonl", good(120, seed=1))
    assert ended(nights) == ("promoted", 1)
    sentence = nights.last().reason

    assert ended(nights, "night.drift.action=stop") == ("kept", 1)
    assert "the same weights" in nights.last().reason
    champion = Registry(tracking_of(nights.project.folder), "tiny").champion()
    assert champion is not None
    assert champion.tags["sentence"] == sentence

    shutil.rmtree(nights.line.records)  # as if killed behind the promotion, unrecorded
    assert ended(nights) == ("promoted", 1)
    last = nights.last()
    assert (last.version, last.reason) == (1, sentence)
    assert last.decision is not None


@pytest.mark.slow
def test_seven_nights(tiny_folder: Path, tmp_path: Path) -> None:
    nights = Nights(tiny_folder, tmp_path)
    nights.write("day1.jsonl", good(120, seed=1))
    assert ended(nights) == ("promoted", 1)

    nights.write("day2.jsonl", good(900, seed=2))  # more to learn from
    assert ended(nights) == ("promoted", 2)
    assert nights.last().drift.keys() >= {"answer_characters", "vocabulary"}

    assert ended(nights) == ("skipped", 2)

    bad = nights.write("day4.jsonl", poisoned(3000))
    assert ended(nights, status=2) == ("stopped", 2)
    assert "max_reject_rate" in nights.last().reason
    assert ended(nights) == ("skipped", 2)  # known to be refused
    bad.unlink()

    strange = nights.write("day5.jsonl", chinese(900))
    assert ended(nights, "night.drift.action=stop", status=2) == ("stopped", 2)
    assert "drifted" in nights.last().reason
    strange.unlink()

    nights.write("day6.jsonl", wrong(4000, seed=6))
    killed = kill_in_training(nights)
    assert killed.returncode == -signal.SIGKILL
    assert ended(nights) == ("kept", 2)  # trained to its end, and worse
    outcomes = [night.outcome for night in nights.line.nights()]
    assert outcomes[-2:] == ["failed", "kept"]
    assert "killed" in nights.line.nights()[-2].reason
    assert nights.champion == 2

    done = nights.project.run_flow("rollback", "reason=worse on tickets")
    assert done.returncode == 0, done.stderr
    assert nights.champion == 1
    last = nights.last()
    assert (last.outcome, last.champion) == ("rolled_back", 1)
    assert "worse on tickets" in last.reason

    page = nights.line.history.read_text(encoding="utf-8")
    for word in ("Promoted", "Kept", "Skipped", "Stopped", "Failed", "Rolled back"):
        assert word.lower() in page.lower()


def ended(nights: Nights, *words: str, status: int = 0) -> tuple[str, int | None]:
    done = nights.run(*words)
    assert done.returncode == status, done.stderr[-3000:]
    last = nights.last()
    assert last.champion == nights.champion
    return last.outcome, last.champion


def kill_in_training(nights: Nights) -> Any:
    """Start a night, and kill it with all its processes once it has a checkpoint."""
    process = nights.project.start("train.checkpoint.steps=5", flow="nightly")
    unfinished = nights.project.folder / "store" / "unfinished" / "train"
    deadline = time.monotonic() + 180
    while not list(unfinished.glob("*/checkpoints/step-*[0-9]")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    psutil.wait_procs(children, timeout=60)
    return process
