"""A training that pauses and goes on ends with the adapter of one that does not, to the bit."""

import signal
from pathlib import Path

import pytest

from loraflow.errors import Paused
from loraflow.files import HISTORY, read_lines
from loraflow.model.lend import ModelLender
from loraflow.model.source import BaseModel
from loraflow.train.interrupt import StopOnSignal
from tests.train.test_resume import VARIANTS, break_off, same_adapter
from tests.train.trainings import train_rows, write_rows

LOOKS = "train.early_stopping={rows: 8, steps: 3, patience: 1000}"


@pytest.mark.parametrize("variant", ["packed", "second epoch", "dora"])
def test_a_paused_training_goes_on_to_the_adapter_of_an_unbroken_one(
    variant: str, tiny_nf4_base: BaseModel, tmp_path: Path
) -> None:
    tokens = write_rows(tmp_path / "tokens")
    overrides = [LOOKS, *VARIANTS[variant], "train.max_steps=12"]
    whole = train_rows(tiny_nf4_base, tokens, tmp_path / "whole", *overrides)
    lender = ModelLender()
    for step in (3, 9):
        with pytest.raises(Paused, match=f"paused at step {step} of 12"):
            train_rows(
                tiny_nf4_base, tokens, tmp_path / "out", *overrides, lender=lender, pause_at=step
            )
    done = train_rows(tiny_nf4_base, tokens, tmp_path / "out", *overrides, lender=lender)
    assert same_adapter(tmp_path / "whole", tmp_path / "out")
    assert done["counts"] == whole["counts"]
    history = [read_lines(tmp_path / name / HISTORY) for name in ("whole", "out")]
    looks = [[row for row in rows if "train/validation_loss" in row] for rows in history]
    assert looks[0] == looks[1]


def test_what_has_come_as_far_pauses_again_without_a_step(
    tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = write_rows(tmp_path / "tokens")
    overrides = [LOOKS, "train.max_steps=12"]
    for _ in range(2):
        with pytest.raises(Paused, match="step 3 of 12"):
            train_rows(tiny_base, tokens, tmp_path / "out", *overrides, pause_at=3)
        break_off(monkeypatch, step=3)


@pytest.mark.parametrize("step", [6, 9])
def test_a_training_does_not_pause_behind_its_last_step(
    step: int, tiny_base: BaseModel, tmp_path: Path
) -> None:
    tokens = write_rows(tmp_path / "tokens")
    overrides = [LOOKS, "train.max_steps=6"]
    done = train_rows(tiny_base, tokens, tmp_path / "out", *overrides, pause_at=step)
    assert done["counts"]["steps"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 4])  # at an epoch's end, and inside the second one
def test_several_processes_pause_together(step: int, tiny_base: BaseModel, tmp_path: Path) -> None:
    tokens = write_rows(tmp_path / "tokens", rows=48)
    overrides = [LOOKS, "train.max_steps=6", "train.processes=2"]
    whole = train_rows(tiny_base, tokens, tmp_path / "whole", *overrides)
    with pytest.raises(Paused, match=f"step {step} of 6"):
        train_rows(tiny_base, tokens, tmp_path / "out", *overrides, pause_at=step)
    done = train_rows(tiny_base, tokens, tmp_path / "out", *overrides)
    assert same_adapter(tmp_path / "whole", tmp_path / "out")
    assert done["counts"] == whole["counts"]


def test_a_signal_that_comes_with_a_pause_is_not_lost() -> None:
    stop = StopOnSignal()
    with pytest.raises(KeyboardInterrupt), stop.listening():
        signal.raise_signal(signal.SIGINT)
        raise Paused(3, 12)
