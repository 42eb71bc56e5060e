"""A run says how it ended, whatever ended it; one that is finished is not opened twice."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import pytest

from loraflow.config import TrackingConfig
from loraflow.errors import Paused, Pruned, UserError
from loraflow.tracking.run import PROCESS_TAG, mark_killed, open_run
from tests.tracking.servers import OTHER_PLAN, PLAN, all_runs, ending_of, run_of

SCRIPT = """
import sys, time
from pathlib import Path
from loraflow.tracking.run import open_run
from tests.tracking.servers import PLAN, tracking_in

tracking, parent = tracking_in(Path(sys.argv[1]), sys.argv[2]), sys.argv[3] or None
with open_run(tracking, PLAN, name="b", data="d", parent=parent) as run:
    print(run.id, flush=True)
    time.sleep(float(sys.argv[4]))
    run.recorded = True
"""


def record(tracking: TrackingConfig, parent: str | None = None) -> str:
    """Open the run of PLAN, end it well, and return its id."""
    with open_run(tracking, PLAN, name="a", data="d", parent=parent) as run:
        run.recorded = True
    return run.id


def open_elsewhere(
    tracking: TrackingConfig, parent: str = "", seconds: float = 0
) -> "subprocess.Popen[str]":
    """Open the run of PLAN in another process."""
    folder = str(Path(tracking.uri.removeprefix("sqlite:///")).parent)
    arguments = [folder, tracking.experiment, parent, str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True
    )


def test_finished_run_of_the_plan_is_yielded_again(tracking: TrackingConfig) -> None:
    first = record(tracking)
    with open_run(tracking, PLAN, name="a", data="d") as run:
        assert run.finished
        run.log_metric("train/loss", 1.0)
    assert run.id == first
    assert len(all_runs(tracking)) == 1
    assert ending_of(tracking, first) == ("FINISHED", "finished", None)


def test_run_says_that_it_runs(tracking: TrackingConfig) -> None:
    with open_run(tracking, PLAN, name="a", data="d") as run:
        assert ending_of(tracking, run.id) == ("RUNNING", "running", None)


def test_run_that_is_not_recorded_is_no_finished_one(tracking: TrackingConfig) -> None:
    with open_run(tracking, PLAN, name="a", data="d") as run:
        pass
    status, state, reason = ending_of(tracking, run.id)
    assert (status, state) == ("FAILED", "failed")
    assert reason is not None
    assert record(tracking) != run.id


def test_error_ends_the_run_with_its_reason(tracking: TrackingConfig) -> None:
    with pytest.raises(ZeroDivisionError), open_run(tracking, PLAN, name="a", data="d") as run:
        _ = 1 / 0
    expected = ("FAILED", "failed", "ZeroDivisionError: division by zero")
    assert ending_of(tracking, run.id) == expected
    assert mlflow.active_run() is None


def test_user_error_is_its_own_reason(tracking: TrackingConfig) -> None:
    with pytest.raises(UserError), open_run(tracking, PLAN, name="a", data="d") as run:
        raise UserError("train.max_length=8 is too short; set 64")
    assert ending_of(tracking, run.id)[2] == "train.max_length=8 is too short; set 64"


def test_pruned_trial_is_no_failed_one(tracking: TrackingConfig) -> None:
    with pytest.raises(Pruned), open_run(tracking, PLAN, name="a", data="d") as run:
        raise Pruned("at step 3: far behind")
    assert ending_of(tracking, run.id) == ("KILLED", "pruned", "at step 3: far behind")


def test_a_paused_run_goes_on_and_is_told_no_step_twice(tracking: TrackingConfig) -> None:
    with pytest.raises(Paused), open_run(tracking, PLAN, name="a", data="d") as run:
        run.log_metric("train/loss", 3.0, 1)
        raise Paused(1, 2)
    assert ending_of(tracking, run.id) == ("KILLED", "pruned", "paused at step 1 of 2")
    with open_run(tracking, PLAN, name="a", data="d") as again:
        assert ending_of(tracking, run.id) == ("RUNNING", "running", None)
        again.log_history([{"step": 1, "train/loss": 3.0}, {"step": 2, "train/loss": 2.0}])
        again.recorded = True
    assert [one.info.run_id for one in all_runs(tracking)] == [again.id] == [run.id]
    assert ending_of(tracking, run.id) == ("FINISHED", "finished", None)
    history = again.client.get_metric_history(run.id, "train/loss")
    assert [(one.step, one.value) for one in history] == [(1, 3.0), (2, 2.0)]


def test_what_is_said_first_of_the_end_holds(tracking: TrackingConfig) -> None:
    with pytest.raises(ValueError), open_run(tracking, PLAN, name="a", data="d") as run:
        run.end_as("pruned", "hopeless")
        raise ValueError("on its way out")
    assert ending_of(tracking, run.id) == ("KILLED", "pruned", "hopeless")


def test_ctrl_c_ends_the_run_as_killed(tracking: TrackingConfig) -> None:
    with pytest.raises(KeyboardInterrupt), open_run(tracking, PLAN, name="a", data="d") as run:
        raise KeyboardInterrupt
    assert ending_of(tracking, run.id) == ("KILLED", "killed", None)


def test_sigterm_ends_the_run_and_then_the_process(
    tracking: TrackingConfig,
) -> None:
    with open_elsewhere(tracking, seconds=60) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
    assert ending_of(tracking, run_id) == ("KILLED", "killed", None)


def test_what_a_killed_process_left_running_is_marked_by_the_next_run_of_any_plan(
    tracking: TrackingConfig,
) -> None:
    with open_elsewhere(tracking, seconds=60) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        process.kill()
    assert ending_of(tracking, run_id) == ("RUNNING", "running", None)
    with open_run(tracking, OTHER_PLAN, name="a", data="d"):
        assert ending_of(tracking, run_id) == ("KILLED", "killed", None)


def test_a_run_that_ends_in_order_while_its_process_is_looked_for_is_not_killed(
    tracking: TrackingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(tracking, PLAN, name="a", data="d") as run:

        def ends_in_order(_: str) -> bool:
            run.end_as("finished")
            run.end()
            return True

        monkeypatch.setattr("loraflow.tracking.run.is_dead", ends_in_order)
        mark_killed(run.client, run_of(tracking, run.id).info.experiment_id)
        assert ending_of(tracking, run.id) == ("FINISHED", "finished", None)


def test_run_of_a_living_process_goes_on(tracking: TrackingConfig) -> None:
    with open_elsewhere(tracking, seconds=60) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        with open_run(tracking, OTHER_PLAN, name="a", data="d"):
            assert ending_of(tracking, run_id) == ("RUNNING", "running", None)
        process.kill()


def test_run_can_be_nested_from_another_thread(tracking: TrackingConfig) -> None:
    nested: list[str] = []
    with open_run(tracking, OTHER_PLAN, name="sweep", data="d") as parent:
        thread = threading.Thread(target=lambda: nested.append(record(tracking, parent.id)))
        thread.start()
        thread.join()
    run = run_of(tracking, nested[0])
    assert run.data.tags["mlflow.parentRunId"] == parent.id
    assert run.info.status == "FINISHED"


def test_run_can_be_nested_from_another_process(tracking: TrackingConfig) -> None:
    with open_run(tracking, OTHER_PLAN, name="sweep", data="d") as parent:
        output, _ = open_elsewhere(tracking, parent.id).communicate(timeout=120)
        assert ending_of(tracking, parent.id)[0] == "RUNNING"
    run = run_of(tracking, output.strip())
    assert run.data.tags["mlflow.parentRunId"] == parent.id
    assert run.info.status == "FINISHED"


def test_run_can_be_nested_in_the_active_one(tracking: TrackingConfig) -> None:
    with open_run(tracking, OTHER_PLAN, name="sweep", data="d") as parent:
        nested = record(tracking, parent.id)
        active = mlflow.active_run()
        assert active is not None
        assert active.info.run_id == parent.id
    assert run_of(tracking, nested).data.tags["mlflow.parentRunId"] == parent.id


def test_what_is_finished_below_another_parent_or_alone_does_not_count(
    tracking: TrackingConfig,
) -> None:
    parents = []
    for plan in (OTHER_PLAN, OTHER_PLAN):
        with open_run(tracking, plan, name="sweep", data="d") as parent:
            parents.append(parent.id)
    found = [record(tracking, parent) for parent in [*parents, None, *parents, None]]
    assert len(set(found[:3])) == 3
    assert found[:3] == found[3:]


def test_process_tag_names_host_pid_and_start(tracking: TrackingConfig) -> None:
    with open_run(tracking, PLAN, name="a", data="d") as run:
        tag = run_of(tracking, run.id).data.tags[PROCESS_TAG]
    assert len(tag.split()) == 3


def test_steps_of_an_interrupted_training_are_completed(tracking: TrackingConfig) -> None:
    """The second process trained from step 3 on; the history has them all."""
    rows = [{"step": step, "train/loss": float(step)} for step in (1, 2, 3, 4)]
    with open_run(tracking, PLAN, name="a", data="d") as run:
        for row in rows[2:]:
            run.log_metric("train/loss", row["train/loss"], int(row["step"]))
        run.log_history(rows)
        run.recorded = True
    history = run.client.get_metric_history(run.id, "train/loss")
    assert sorted((metric.step, metric.value) for metric in history) == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 4.0),
    ]
