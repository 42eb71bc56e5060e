"""A whole sweep as a user starts it: killed, failing, pruned, on several workers."""

import os
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from loraflow.files import read_json
from tests.test_flows import Project, tiny_project

SMALL = [
    "sweep=smoke",
    "data.split.held_out_rows=12",
    "evaluate.max_new_tokens=4",
    "data.train_rows=64",
]


def sweeping(tiny_folder: Path, folder: Path, *more: str) -> Project:
    storage = f"sweep.search.storage=sqlite:///{folder / 'sweeps.db'}"
    return tiny_project(tiny_folder, folder, *SMALL, storage, *more)


def trials_of(project: Project) -> list[Any]:
    return [run for run in project.mlflow_runs() if "mlflow.parentRunId" in run.data.tags]


def parent_of(project: Project) -> Any:
    (parent,) = [run for run in project.mlflow_runs() if "mlflow.parentRunId" not in run.data.tags]
    return parent


def finished(project: Project) -> Counter[str]:
    return Counter(run.info.run_name for run in trials_of(project) if run.info.status == "FINISHED")


def wait_for(project: Project, what: str, seconds: float = 300) -> None:
    """Wait until a trial of that name trains."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        has_begun = any(run.info.run_name == what for run in trials_of(project))
        unfinished = project.folder / "store" / "unfinished" / "train"
        if has_begun and list(unfinished.glob("*/checkpoints/step-*[0-9]")):
            return
        time.sleep(0.2)
    raise AssertionError(f"{what} has not begun to train")


def kill_tree(process: "subprocess.Popen[str]") -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    psutil.wait_procs(children, timeout=60)


ARMS = Counter(["base model", "r=1 seed=0", "r=1 seed=1", "r=8 seed=0", "r=8 seed=1"])


@pytest.fixture(scope="module")
def killed_and_resumed(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A sweep that was killed in the middle of its second training, and started again."""
    longer = ["train.max_steps=40", "train.checkpoint.steps=2"]
    project = sweeping(tiny_folder, tmp_path_factory.mktemp("killed"), *longer)
    process = project.start(flow="sweep")
    wait_for(project, "r=1 seed=1")
    kill_tree(process)
    project.before = finished(project)  # type: ignore[attr-defined]
    project.again = project.run_flow("sweep")  # type: ignore[attr-defined]
    return project


def test_a_killed_sweep_goes_on_and_runs_no_finished_trial_again(
    killed_and_resumed: Project,
) -> None:
    project: Any = killed_and_resumed
    assert project.again.returncode == 0, project.again.stderr
    assert project.before >= Counter(["base model", "r=1 seed=0"])
    assert finished(project) == ARMS
    assert "going on from step" in project.again.stderr


def test_nothing_stays_running_in_mlflow_and_the_parent_is_one(
    killed_and_resumed: Project,
) -> None:
    project = killed_and_resumed
    states = Counter(run.info.status for run in project.mlflow_runs())
    assert states == Counter({"FINISHED": 6, "KILLED": 1})
    parent = parent_of(project)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["sweep/finished"] == 5
    names = {file.path for file in project.client.list_artifacts(parent.info.run_id, "rank")}
    assert names == {"rank/rank.html", "rank/rank.md", "rank/rank.png"}


def test_mlflow_has_what_its_views_of_r_compare(killed_and_resumed: Project) -> None:
    runs = {run.info.run_name: run for run in trials_of(killed_and_resumed)}
    wide = runs["r=8 seed=0"].data
    assert (wide.params["adapter.r"], wide.params["train.seed"]) == ("8", "0")
    assert float(wide.params["effective_scale"]) > 0
    assert wide.metrics["cost/seconds"] > 0
    assert {"evaluate/rougeL", "evaluate/rougeL_low", "evaluate/rougeL_high"} <= set(wide.metrics)
    assert runs["base model"].data.params["adapter.r"] == "0"


def test_prefect_shows_every_trial_by_its_values_and_what_was_done_before(
    killed_and_resumed: Project,
) -> None:
    rows = killed_and_resumed.prefect(
        "SELECT task_run.name, task_run.state_name FROM task_run JOIN flow_run "
        "ON task_run.flow_run_id = flow_run.id WHERE flow_run.state_name = 'Completed'"
    )
    states = dict(rows)
    assert states["r=8 seed=1"] == "Completed"
    assert states["r=1 seed=0"] == "Cached"
    artifacts = killed_and_resumed.prefect("SELECT key FROM artifact")
    assert {("rank-report",), ("rank-quality",), ("rank-table",)} <= set(artifacts)


def test_the_terminal_says_which_r_is_enough(killed_and_resumed: Project) -> None:
    project: Any = killed_and_resumed
    assert "r=8" in project.again.stdout
    assert "rank.html" in project.again.stdout


def test_runs_that_exist_give_the_same_report(killed_and_resumed: Project) -> None:
    project = killed_and_resumed
    done = {run.info.run_name: run for run in trials_of(project) if run.info.status == "FINISHED"}
    ids = [run.info.run_id for name, run in done.items() if name != "base model"]
    own = [word for word in project.overrides if not word.startswith("sweep")]
    comparing = Project(own, project.folder)
    compared = comparing.run_flow("compare", f"runs=[{','.join(ids)}]")
    assert compared.returncode == 0, compared.stderr
    (run,) = project.mlflow_runs("loraflow-compare")
    sweep = parent_of(project).data.metrics
    same = ("sweep/items", "sweep/best_rougeL", "sweep/best_rougeL_low")
    assert [run.data.metrics[name] for name in same] == [sweep[name] for name in same]
    twice = comparing.run_flow("compare", f"runs=[{ids[0]},{ids[0]}]")
    assert twice.returncode == 2
    assert "give one of them" in twice.stderr


def test_a_failed_trial_stops_no_other_and_is_tried_again_up_to_the_cap(
    tiny_folder: Path, tmp_path: Path
) -> None:
    rates = ["adapter.r=2", "sweep.seeds=[0]", "train.learning_rate=1e-3,1e30"]
    project = sweeping(tiny_folder, tmp_path, *rates)
    first = project.run_flow("sweep")
    assert first.returncode == 2
    assert "1 of 3 trials failed" in first.stderr
    assert "diverged at step" in first.stderr
    assert finished(project) == Counter(["base model", "r=2 learning_rate=0.001 seed=0"])
    again, third = project.run_flow("sweep"), project.run_flow("sweep")
    assert again.returncode == third.returncode == 2
    assert "used up sweep.attempts=2" in third.stderr
    failed = [run for run in trials_of(project) if run.info.status == "FAILED"]
    assert len(failed) == 2
    assert {run.data.tags["loraflow.state"] for run in failed} == {"failed"}
    assert "diverged" in failed[0].data.tags["loraflow.reason"]
    assert parent_of(project).info.status == "FAILED"


RATES = "1e-3,3e-2,3e-3,1e-4,1e-6,1e-7"
TUNED = [
    "adapter.r=1,8",
    f"+sweep.search.tune={{train.learning_rate: [{RATES}]}}",
    "sweep.search.pruning=halving",
    "train.early_stopping={rows: 16, steps: 2, patience: 1000}",
    "train.max_steps=16",
]


def notes_of(project: Project) -> list[Any]:
    return [read_json(path) for path in project.folder.glob("store/sweep/*/trials/*.json")]


def wait_for_pauses(project: Project, count: int, seconds: float = 300) -> None:
    """Wait until so many trials have paused, and another trains."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if sum(note["state"] == "paused" for note in notes_of(project)) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"no {count} trials have paused")


def check_halved(project: Project, seeds: int) -> None:
    """Check that of each arm one configuration was trained to its end and the others in part."""
    states = Counter(note["state"] for note in notes_of(project))
    assert states == Counter({"pruned": 10, "finished": 1 + 2 * seeds})
    ended = [run for run in trials_of(project) if run.data.tags["loraflow.state"] != "killed"]
    assert Counter(run.data.tags["loraflow.state"] for run in ended) == states
    assert {run.info.status for run in project.mlflow_runs()} <= {"FINISHED", "KILLED"}
    assert len({run.info.run_name for run in ended}) == len(ended)
    for run in ended:
        steps = [step for step, _ in project.curve(run, "train/loss")]
        assert steps == list(range(1, len(steps) + 1))
    reasons = Counter(note["reason"] for note in notes_of(project) if note["state"] == "pruned")
    assert reasons == Counter(
        {
            "paused at step 2 of 16; 2 of 6 went on": 8,
            "paused at step 6 of 16; 1 of 2 went on": 2,
        }
    )


@pytest.mark.slow
def test_a_killed_search_goes_on_and_every_arm_keeps_its_best(
    tiny_folder: Path, tmp_path: Path
) -> None:
    project = sweeping(tiny_folder, tmp_path, *TUNED, "sweep.seeds=[0,1]")
    for pauses in (3, 12):  # in the first round, and in the second
        process = project.start(flow="sweep")
        wait_for_pauses(project, pauses)
        time.sleep(1.0)
        kill_tree(process)
    done = project.run_flow("sweep")
    assert done.returncode == 0, done.stderr
    check_halved(project, seeds=2)
    arms = Counter(name.partition(" ")[0] for name in finished(project))
    assert arms == Counter({"base": 1, "r=1": 2, "r=8": 2})
    shown = {name for (name,) in project.prefect("SELECT state_name FROM task_run")}
    assert {"Paused", "Pruned", "Completed"} <= shown
    assert parent_of(project).data.metrics["sweep/pruned"] == 10


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_a_search_in_rounds_is_the_same_on_several_workers(
    tiny_folder: Path, tmp_path: Path, runner: str
) -> None:
    pytest.importorskip({"dask": "prefect_dask", "ray": "prefect_ray"}.get(runner, "prefect"))
    words = [*TUNED, "sweep.seeds=[0]", f"runner={runner}", "runner.workers=2"]
    project = sweeping(tiny_folder, tmp_path, *words)
    done = project.run_flow("sweep")
    assert done.returncode == 0, done.stderr
    check_halved(project, seeds=1)


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_every_trial_is_done_once_though_a_worker_is_killed(
    tiny_folder: Path, tmp_path: Path, runner: str
) -> None:
    pytest.importorskip({"dask": "prefect_dask", "ray": "prefect_ray"}.get(runner, "prefect"))
    longer = ["train.max_steps=40", "train.checkpoint.steps=2", f"runner={runner}"]
    project = sweeping(tiny_folder, tmp_path, *longer)
    process = project.start(flow="sweep")
    wait_for(project, "r=1 seed=1")
    os.kill(_worker_of(project), signal.SIGKILL)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    assert finished(project) == ARMS
    assert {run.info.status for run in project.mlflow_runs()} == {"FINISHED", "KILLED"}


@pytest.mark.slow
def test_a_trial_whose_worker_is_killed_again_and_again_fails_and_the_others_finish(
    tiny_folder: Path, tmp_path: Path
) -> None:
    words = ["adapter.r=1", "train.max_steps=100000,4", "sweep.seeds=[0]", "sweep.attempts=1"]
    project = sweeping(tiny_folder, tmp_path, *words, "runner=processes")
    process = project.start(flow="sweep")
    while process.poll() is None:  # as the system does when memory is short
        for run in trials_of(project):
            if run.info.status == "RUNNING" and "max_steps=100000" in run.info.run_name:
                with suppress(ProcessLookupError):
                    os.kill(_process_of(run), signal.SIGKILL)
        time.sleep(0.5)
    _, stderr = process.communicate()
    assert process.returncode == 2
    assert "1 of 3 trials failed" in stderr
    assert "its process was killed twice" in stderr
    assert finished(project) == Counter(["base model", "r=1 max_steps=4 seed=0"])


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_ctrl_c_waits_for_no_training_and_leaves_no_worker(
    tiny_folder: Path, tmp_path: Path, runner: str
) -> None:
    pytest.importorskip({"dask": "prefect_dask", "ray": "prefect_ray"}.get(runner, "prefect"))
    endless = ["train.max_steps=100000", "train.checkpoint.steps=2", f"runner={runner}"]
    project = sweeping(tiny_folder, tmp_path, *endless)
    process = project.start(flow="sweep")
    wait_for(project, "r=1 seed=0")
    worker = psutil.Process(_worker_of(project))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the same command goes on" in stderr
    assert psutil.wait_procs([worker], timeout=10)[0] == [worker]
    assert parent_of(project).data.tags["loraflow.state"] == "killed"
    left_behind = [run for run in trials_of(project) if run.info.status == "RUNNING"]
    assert runner != "processes" or left_behind == []  # clusters kill theirs


def _worker_of(project: Project) -> int:
    """Return the process that trains a trial right now, as its MLflow run says."""
    (run, *_) = [one for one in trials_of(project) if one.info.status == "RUNNING"]
    return _process_of(run)


def _process_of(run: Any) -> int:
    return int(run.data.tags["loraflow.process"].split()[1])
