"""The whole road, as a user walks it: the command, the store, MLflow, Prefect's history."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest

ROOT = Path(__file__).parents[1]
GOOD_ROWS = "".join(
    f'{{"instruction": "question {word}", "output": "answer {word}"}}\n' for word in "abcdefghij"
)


class Project:
    """A place for runs, apart from the developer's own."""

    def __init__(self, overrides: list[str], folder: Path) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", "flows.experiment", *overrides]
        self.overrides = overrides
        self.environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}
        self.environment.pop("PREFECT_API_URL", None)

    def run(
        self, *overrides: str, timeout_seconds: int = 300
    ) -> "subprocess.CompletedProcess[str]":
        return self._run([*self.command, *overrides], timeout_seconds)

    def run_flow(self, flow: str, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", f"flows.{flow}", *self.overrides, *words]
        return self._run(command, timeout_seconds=300)

    def _run(self, command: list[str], timeout_seconds: int) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
        )

    def start(self, *overrides: str, flow: str = "experiment") -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", f"flows.{flow}", *self.overrides, *overrides],
            cwd=ROOT,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def prefect(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.folder / "prefect" / "prefect.db") as database:
            return database.execute(query).fetchall()

    @property
    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(f"sqlite:///{self.folder / 'mlruns' / 'mlflow.db'}")

    def mlflow_runs(self, experiment_name: str = "loraflow") -> list[Any]:
        experiment = self.client.get_experiment_by_name(experiment_name)
        return list(self.client.search_runs([experiment.experiment_id])) if experiment else []

    def curve(self, run: Any, metric: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, metric)
        return sorted((point.step, point.value) for point in history)


def tiny_project(tiny_folder: Path, folder: Path, *more: str) -> Project:
    """A project on the tiny model, all of it below `folder`."""
    overrides = [
        "model=folder",
        f"model.location={tiny_folder}",
        "model.name=tiny",
        f"model.cache={folder / 'models'}",
        f"store={folder / 'store'}",
        f"tracking.uri=sqlite:///{folder / 'mlruns' / 'mlflow.db'}",
        f"tracking.artifacts={folder / 'mlruns' / 'artifacts'}",
        "train=smoke",
        "data.train_rows=64",
        "data.split.held_out_rows=8",
    ]
    return Project([*overrides, *more], folder)


@pytest.fixture(scope="module")
def project(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return tiny_project(
        tiny_folder, tmp_path_factory.mktemp("project"), "evaluate.max_new_tokens=4"
    )


@pytest.fixture(scope="module")
def first(project: Project) -> "subprocess.CompletedProcess[str]":
    """The first run, which the tests below look at."""
    return project.run()


def test_run_ends_well_and_says_where_everything_is(
    first: "subprocess.CompletedProcess[str]",
) -> None:
    assert first.returncode == 0, first.stderr
    assert "8 held-out items" in first.stdout
    assert "General ability, untouched by the tuning" in first.stdout
    assert "rougeL" in first.stdout
    assert "make ui" in first.stdout


def test_mlflow_has_all_it_takes_to_compare_and_to_repeat(
    first: "subprocess.CompletedProcess[str]", project: Project
) -> None:
    (run,) = project.mlflow_runs()
    assert run.info.status == "FINISHED"
    assert run.data.params["adapter.target_modules"] == "attention"
    assert run.data.params["train.max_steps"] == "4"
    metrics = run.data.metrics
    assert {"train/loss", "train/learning_rate", "train/gradient_norm"} <= metrics.keys()
    assert {"evaluate/rougeL", "evaluate_base/rougeL", "compare/rougeL_low"} <= metrics.keys()
    assert {"evaluate/bleu_high", "compare/bleu_mean", "evaluate/probe_all"} <= metrics.keys()
    assert metrics["train/lora_parameters"] == metrics["train/trainable_parameters"] > 0
    assert {"loraflow.plan", "loraflow.data_fingerprint"} <= run.data.tags.keys()
    assert [data.dataset.name for data in run.inputs.dataset_inputs] == [
        "the Python standard library train",
        "the Python standard library held_out",
    ]
    assert len(run.outputs.model_outputs) == 1


def test_mlflow_has_every_answer_and_the_adapter(
    first: "subprocess.CompletedProcess[str]", project: Project
) -> None:
    (run,) = project.mlflow_runs()
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    table = json.loads((artifacts / "evaluate" / "items.json").read_text())
    assert {"prompt", "reference", "base_answer", "tuned_answer"} <= set(table["columns"])
    assert len(table["data"]) == 8
    assert "rougeL" in (artifacts / "evaluate" / "evaluation.html").read_text(encoding="utf-8")
    assert json.loads((artifacts / "evaluate" / "card" / "card.json").read_text())["cards"]
    assert (artifacts / "config.yaml").is_file()
    assert list((artifacts.parents[1]).rglob("adapter_model.safetensors"))


def test_prefect_shows_the_stages_and_the_result(
    first: "subprocess.CompletedProcess[str]", project: Project
) -> None:
    assert project.prefect("select state_name from flow_run") == [("Completed",)]
    names = {name for (name,) in project.prefect("select name from task_run")}
    assert names == {
        "base model",
        "prepare",
        "tokenize",
        "report",
        "train",
        "evaluate base",
        "evaluate tuned",
        "probe base",
        "probe tuned",
        "examine",
        "grade base",
        "grade tuned",
        "page",
    }
    ((artifact,),) = project.prefect("select data from artifact where key = 'experiment-result'")
    assert "| rougeL |" in artifact
    assert "/runs/" in artifact


def test_second_run_reuses_everything_and_adds_no_mlflow_run(
    first: "subprocess.CompletedProcess[str]", project: Project
) -> None:
    second = project.run()
    assert second.returncode == 0, second.stderr
    assert second.stderr.count("reused") == 12
    assert len(project.mlflow_runs()) == 1
    cached = project.prefect("select count(*) from task_run where state_name = 'Cached'")
    assert cached == [(12,)]


def test_data_alone_reuses_the_stages_and_links_its_report(
    first: "subprocess.CompletedProcess[str]", project: Project
) -> None:
    done = project.run_flow("data")
    assert done.returncode == 0, done.stderr
    assert "rows read = " in done.stdout
    assert done.stderr.count("reused") == 3
    (run,) = project.mlflow_runs("loraflow-data")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["prepare/train"] == 64
    page = Path(run.info.artifact_uri.removeprefix("file://")) / "data" / "report.html"
    assert "the Python standard library" in page.read_text()
    ((artifact,),) = project.prefect("select data from artifact where key = 'data-report'")
    assert run.info.run_id in artifact
    assert len(project.mlflow_runs()) == 1


def test_data_alone_stops_at_too_many_rows_set_aside(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "坏.jsonl"
    path.write_text('{"instruction": "q", "output": ""}\n' * 90 + GOOD_ROWS, encoding="utf-8")
    failed = project.run_flow(
        "data",
        "data=alpaca",
        f"data.path={path}",
        "data.train_rows=null",
        "data.min_train_rows=1",
        "data.split.held_out_rows=1",
    )
    assert failed.returncode == 2
    assert "data.max_reject_rate=0.5: 90 of 100 rows (90%)" in failed.stderr
    assert "empty_or_echoed 90" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_other_evaluation_trains_nothing_and_still_has_the_curve(
    first: "subprocess.CompletedProcess[str]", project: Project
) -> None:
    (before,) = project.mlflow_runs()
    other = project.run("evaluate.max_new_tokens=5")
    assert other.returncode == 0, other.stderr
    assert "train           reused" in other.stderr
    after = next(run for run in project.mlflow_runs() if run.info.run_id != before.info.run_id)
    curves = [project.curve(run, "train/loss") for run in (before, after)]
    assert len(curves[0]) == 4
    assert curves[0] == curves[1]


def test_user_error_in_a_stage_is_short_and_fails_the_flow(
    first: "subprocess.CompletedProcess[str]", project: Project
) -> None:
    failed = project.run("train.max_length=8")
    assert failed.returncode == 2
    assert "train.max_length=8" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert ("Failed",) in project.prefect("select state_name from flow_run")
    logged = "".join(text for (text,) in project.prefect("select message from log"))
    assert "train.max_length=8" in logged
    assert "Traceback" not in logged


def test_wrong_target_modules_are_known_before_anything_starts(project: Project) -> None:
    failed = project.run("adapter.target_modules=[q_porj]")
    assert failed.returncode == 2
    assert "did you mean q_proj" in failed.stderr
    assert "started" not in failed.stderr


def test_killed_run_leaves_nothing_behind_and_the_same_command_completes_it(
    first: "subprocess.CompletedProcess[str]", project: Project
) -> None:
    longer = ["adapter.r=2", "train.max_steps=150", "train.checkpoint.steps=1"]
    killed = project.start(*longer)
    partial = wait_for(lambda: in_training(project), "a first training step")
    children = psutil.Process(killed.pid).children()
    killed.kill()
    killed.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert children
    assert not alive  # the temporary Prefect server ends by itself
    assert "RUNNING" in statuses(project)

    again = project.run(*longer)
    assert again.returncode == 0, again.stderr
    assert "going on from step" in again.stderr
    assert not partial.exists()
    assert "RUNNING" not in statuses(project)
    assert "KILLED" in statuses(project)


def statuses(project: Project) -> list[str]:
    return sorted(run.info.status for run in project.mlflow_runs())


def in_training(project: Project) -> Path | None:
    """The folder of a training that has saved a checkpoint."""
    unfinished = project.folder / "store" / "unfinished" / "train"
    for checkpoint in unfinished.glob("*/checkpoints/step-00000002"):
        return checkpoint.parents[1]
    return None


def wait_for(condition: Callable[[], Path | None], what: str) -> Path:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"waited in vain for {what}")
