"""How a trial ended is noted whole, and decides what is run again."""

from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.files import HISTORY, write_lines
from loraflow.sweep.outcome import Notes, Outcome, read_curves
from loraflow.sweep.trials import Trial

TRIAL = Trial("r=4 数据", {"adapter.r": 4}, {"adapter.r": 4, "train.seed": 0}, 0, {})


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "trials")


def test_a_note_comes_back_as_it_was_written(notes: Notes) -> None:
    assert notes.read(TRIAL) is None
    outcome = Outcome(TRIAL.name, "pruned", "far behind", losses=[(1, 2.5)], validation=[(1, 3.0)])
    notes.write(TRIAL, outcome)
    found = notes.read(TRIAL)
    assert found is not None
    assert (found.state, found.reason) == ("pruned", "far behind")
    assert [tuple(point) for point in found.losses] == [(1, 2.5)]


def test_failures_are_counted(notes: Notes) -> None:
    for _ in range(2):
        notes.write_failure(TRIAL, "out of memory")
    found = notes.read(TRIAL)
    assert found is not None
    assert (found.state, found.failures, found.is_there("sweep")) == ("failed", 2, False)


def test_a_finished_trial_is_there_only_while_its_outputs_are(notes: Notes, tmp_path: Path) -> None:
    folder = tmp_path / "output"
    outcome = Outcome(
        TRIAL.name, "finished", parent="sweep", trained=str(folder), evaluated=str(folder)
    )
    assert not outcome.is_there("sweep")
    folder.mkdir()
    assert outcome.is_there("sweep")
    assert not outcome.is_there("another sweep, whose MLflow has no run of it yet")


def test_trials_that_differ_in_a_setting_alone_have_notes_of_their_own(notes: Notes) -> None:
    other = Trial(TRIAL.arm, TRIAL.values, {**TRIAL.sets, "train.seed": 1}, 1, {})
    notes.write_failure(TRIAL, "x")
    assert notes.read(other) is None


def test_a_killed_writer_leaves_nothing_that_passes_for_a_note(notes: Notes) -> None:
    notes.write_failure(TRIAL, "x")
    assert [path.suffix for path in notes.folder.iterdir()] == [".json"]


def test_curves_are_the_losses_of_a_history_and_a_training_without_one_has_none(
    tmp_path: Path,
) -> None:
    assert read_curves(tmp_path) == ([], [])
    rows = [
        {"step": 1, "train/loss": 2.5, "train/learning_rate": 1e-3},
        {"step": 2, "train/validation_loss": 3.0},
    ]
    write_lines(tmp_path / HISTORY, rows)
    assert read_curves(tmp_path) == ([(1, 2.5)], [(2, 3.0)])


def test_a_paused_trial_is_there_for_whom_it_came_far_enough() -> None:
    paused = Outcome(TRIAL.name, "paused", step=5)
    assert [paused.is_there("sweep", step) for step in (5, 15, None)] == [True, False, False]
    ended = replace(paused, trained="folder")  # before it could pause
    assert [ended.is_there("sweep", step) for step in (15, None)] == [True, False]


def test_the_best_loss_is_that_of_looks_until_the_step() -> None:
    one = Outcome(TRIAL.name, "paused", validation=[(5, 2.0), (10, float("nan")), (15, 1.0)])
    assert [one.best_loss(step) for step in (4, 10, 15)] == [float("inf"), 2.0, 1.0]
