"""The run of a sweep goes on as often as the sweep does, and says how it ended last."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.store import make_key
from loraflow.tracking.run import PROCESS_TAG, Run, open_run
from loraflow.tracking.sweep import open_sweep, record_sweep
from tests.tracking.servers import PLAN, all_runs, ending_of, run_of

SWEEP = make_key("sweep", 1, space={"adapter.r": [1, 8]})
SETTINGS = {"train": {"seed": 0}, "sweep": {"space": {"adapter.r": [1, 8]}}}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    for name in ("rank.html", "rank.md", "rank.png"):
        (tmp_path / name).write_text(name)
    return tmp_path


def record(run: Run, report: Path, *, workers: int = 1) -> None:
    settings = {**SETTINGS, "runner": {"workers": workers}}
    record_sweep(run, settings, folder=report, metrics={"sweep/finished": 2.0}, note="**r=1**")


def test_sweep_has_settings_numbers_and_report(tracking: TrackingConfig, report: Path) -> None:
    with open_sweep(tracking, SWEEP, name="sweep", data="d") as run:
        record(run, report)
    found = run_of(tracking, run.id)
    assert found.data.params["sweep.space.adapter.r"] == "[1,8]"
    assert found.data.metrics["sweep/finished"] == 2
    assert found.data.tags["mlflow.note.content"] == "**r=1**"
    files = run.client.list_artifacts(run.id, "rank")
    assert {file.path for file in files} == {"rank/rank.html", "rank/rank.md", "rank/rank.png"}
    assert ending_of(tracking, run.id) == ("FINISHED", "finished", None)


def test_sweep_that_failed_is_reopened_and_ends_well(
    tracking: TrackingConfig, report: Path
) -> None:
    with (
        pytest.raises(UserError),
        open_sweep(tracking, SWEEP, name="sweep", data="d") as first,
    ):
        record(first, report)
        raise UserError("1 of 2 trials failed")
    assert ending_of(tracking, first.id) == ("FAILED", "failed", "1 of 2 trials failed")
    with open_sweep(tracking, SWEEP, name="sweep", data="d") as second:
        assert ending_of(tracking, first.id) == ("RUNNING", "running", None)
        record(second, report)
    assert second.id == first.id
    assert len(all_runs(tracking)) == 1
    assert ending_of(tracking, first.id) == ("FINISHED", "finished", None)


def test_finished_sweep_is_reopened_too(tracking: TrackingConfig, report: Path) -> None:
    ids = []
    for _ in range(2):
        with open_sweep(tracking, SWEEP, name="sweep", data="d") as run:
            record(run, report)
        ids.append(run.id)
    assert ids[0] == ids[1]


def test_setting_that_has_changed_since_is_told_apart(
    tracking: TrackingConfig, report: Path
) -> None:
    """MLflow keeps the first value of a parameter, and refuses another."""
    for workers in (1, 4):
        with open_sweep(tracking, SWEEP, name="sweep", data="d") as run:
            record(run, report, workers=workers)
    found = run_of(tracking, run.id)
    assert found.data.params["runner.workers"] == "1"
    assert found.data.tags["latest.runner.workers"] == "4"
    path = run.client.download_artifacts(run.id, "sweep.yaml")
    assert "workers: 4" in Path(path).read_text()


def test_setting_that_is_as_at_first_again_is_not_told_apart(
    tracking: TrackingConfig, report: Path
) -> None:
    for workers in (1, 4, 1):
        with open_sweep(tracking, SWEEP, name="sweep", data="d") as run:
            record(run, report, workers=workers)
    assert "latest.runner.workers" not in run_of(tracking, run.id).data.tags


@pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere"])
def test_sweep_that_another_process_may_run_is_left_to_it(
    tracking: TrackingConfig, report: Path, host: str
) -> None:
    parent = psutil.Process(os.getppid())
    process = f"{host} {parent.pid} {parent.create_time():.2f}"
    with open_sweep(tracking, SWEEP, name="sweep", data="d") as run:
        run.client.set_tag(run.id, PROCESS_TAG, process)
        with (
            pytest.raises(UserError, match=rf"by process {parent.pid} of {host}.*set_terminated"),
            open_sweep(tracking, SWEEP, name="sweep", data="d"),
        ):
            pass
        assert run_of(tracking, run.id).data.tags[PROCESS_TAG] == process
        record(run, report)


def test_trial_in_the_block_is_nested_and_leaves_the_sweep_active(
    tracking: TrackingConfig, report: Path
) -> None:
    with open_sweep(tracking, SWEEP, name="sweep", data="d") as sweep:
        with open_run(tracking, PLAN, name="trial", data="d", parent=sweep.id) as trial:
            trial.recorded = True
        assert ending_of(tracking, sweep.id)[0] == "RUNNING"
        record(sweep, report)
    assert run_of(tracking, trial.id).data.tags["mlflow.parentRunId"] == sweep.id
    assert ending_of(tracking, sweep.id)[0] == "FINISHED"


def test_reopened_sweep_is_not_taken_for_one_of_a_dead_process(
    tracking: TrackingConfig, report: Path
) -> None:
    with open_sweep(tracking, SWEEP, name="sweep", data="d") as run:
        record(run, report)
    run.client.set_tag(run.id, PROCESS_TAG, f"{socket.gethostname()} 1 1.0")  # one before pid 1
    with (
        open_sweep(tracking, SWEEP, name="sweep", data="d"),
        open_run(tracking, PLAN, name="other", data="d", parent=run.id),
    ):
        assert ending_of(tracking, run.id)[0] == "RUNNING"


def test_sweeps_of_another_experiment_are_others(tracking: TrackingConfig, report: Path) -> None:
    other = replace(tracking, experiment=f"{tracking.experiment}-compare")
    ids = set()
    for place in (tracking, other):
        with open_sweep(place, SWEEP, name="sweep", data="") as run:
            record(run, report)
        ids.add(run.id)
    assert len(ids) == 2
