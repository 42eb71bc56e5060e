"""Several processes learn what one does with longer accumulation, and end with their launcher."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from loraflow.errors import UserError
from loraflow.files import HISTORY, read_json, read_lines, write_json, write_lines
from loraflow.model.source import BaseModel
from loraflow.train import launch, run, worker
from loraflow.train.checkpoint import newest_checkpoint
from loraflow.train.job import Job
from tests.train.trainings import settings, train_rows, write_rows

SAME = ("adapter.dropout=0", "train.max_steps=5")


def losses(out: Path) -> list[float]:
    return [row["train/loss"] for row in read_lines(out / HISTORY)]


def test_two_processes_have_the_losses_of_one_with_twice_the_accumulation(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    tokens = write_rows(tmp_path / "tokens", rows=48)
    alone, both = tmp_path / "alone", tmp_path / "both"
    one = train_rows(tiny_base, tokens, alone, *SAME, "train.gradient_accumulation_steps=4")
    two = train_rows(
        tiny_base,
        tokens,
        both,
        *SAME,
        "train.processes=2",
        "train.gradient_accumulation_steps=2",
    )
    assert losses(both) == pytest.approx(losses(alone), abs=1e-4)
    assert one["counts"] == two["counts"]
    assert (both / "adapter" / "adapter_model.safetensors").is_file()


class Written:
    """A process that has written other steps whenever it is looked at, and then ends."""

    def __init__(self, history: Path, *looks: dict[int, float]) -> None:
        self.history = history
        self.looks = list(looks)

    def poll(self) -> int | None:
        rows = [{"step": step, "train/loss": loss} for step, loss in self.looks.pop(0).items()]
        write_lines(self.history, rows)
        return None if self.looks else 0


def test_steps_are_handed_on_once_and_again_behind_a_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_SECONDS_BETWEEN_LOOKS", 0.0)
    history = tmp_path / HISTORY
    before = {1: 3.0, 2: 2.0}  # as an earlier process left it
    write_lines(history, [{"step": step, "train/loss": loss} for step, loss in before.items()])
    gone_back = {**before, 3: 1.5}
    process: Any = Written(history, before, {**before, 3: 9.0, 4: 9.9}, gone_back)
    logged: list[tuple[int, float]] = []
    launch._follow(process, history, lambda name, value, step: logged.append((step, value)))
    assert logged == [(3, 9.0), (4, 9.9), (3, 1.5)]


@pytest.mark.slow
def test_what_the_user_can_mend_comes_back_as_such(tiny_base: BaseModel, tmp_path: Path) -> None:
    tokens = write_rows(tmp_path / "tokens")
    with pytest.raises(UserError, match=r"train\.early_stopping\.rows=500"):
        train_rows(
            tiny_base,
            tokens,
            tmp_path / "out",
            *SAME,
            "train.processes=2",
            "train.early_stopping={rows: 500, steps: 1, patience: 1}",
        )


def test_a_fault_of_any_process_reaches_the_launcher(
    tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(job: Job, out: Path) -> dict[str, Any]:
        raise UserError("train.task=no")

    adapter, training = settings("train.processes=2")
    job = Job(adapter, training, tiny_base, tmp_path, None, tmp_path, lambda *_: None)
    write_json(tmp_path / "order.json", launch._dump(job, tmp_path))
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path / "order.json")])
    monkeypatch.setattr(worker, "end_with_launcher", lambda: None)
    monkeypatch.setattr(run, "train_here", refuse)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(SystemExit):
        worker.main()
    assert read_json(tmp_path / launch.FAULT) == {"message": "train.task=no"}


@pytest.mark.slow
def test_no_process_outlives_a_launcher_that_is_killed(tiny_folder: Path, tmp_path: Path) -> None:
    launcher = start_training(tiny_folder, tmp_path)
    started = psutil.Process(launcher.pid).children(recursive=True)
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.wait()
    assert len(started) >= 3
    _wait_for(lambda: not any(process.is_running() for process in started))


@pytest.mark.slow
def test_ctrl_c_ends_the_step_of_all_processes_with_a_checkpoint(
    tiny_folder: Path, tmp_path: Path
) -> None:
    launcher = start_training(tiny_folder, tmp_path, "train.checkpoint.steps=5000")
    started = psutil.Process(launcher.pid).children(recursive=True)
    os.killpg(launcher.pid, signal.SIGINT)  # as a terminal does
    launcher.wait()
    _wait_for(lambda: not any(process.is_running() for process in started))
    assert newest_checkpoint(tmp_path / "out-work" / "checkpoints") is not None


def start_training(tiny_folder: Path, folder: Path, *more: str) -> "subprocess.Popen[bytes]":
    """Start a long training of two processes in a process group, and wait for its first steps."""
    tokens = write_rows(folder / "tokens")
    command = [sys.executable, "-m", "tests.train.trainings", str(tiny_folder), str(tokens)]
    command += [str(folder / "out"), "none", "0", "train.processes=2", "train.max_steps=5000"]
    launcher = subprocess.Popen([*command, *more], start_new_session=True)
    history = folder / "out-work" / HISTORY
    _wait_for(lambda: history.is_file() and len(history.read_text()) > 100)
    return launcher


def _wait_for(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
