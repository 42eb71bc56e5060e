"""MLflow's server dies at any time: the run completes, and is in MLflow once and whole later."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from flows.pipeline import Finished, Ready, get_ready, run_experiment
from flows.running import run_plainly
from flows.stages import Stages
from flows.sync import sync
from loraflow.config import Config
from loraflow.evaluate.report.content import EvaluationPage
from loraflow.measure import LogMetric
from loraflow.model.source import find_base
from loraflow.outbox import unlogged_files
from loraflow.promote.tidy.tidy import tidy
from loraflow.store import Store
from loraflow.tracking.data import log_data
from loraflow.tracking.record import record_experiment
from loraflow.tracking.result import log_result
from loraflow.tracking.run import Run
from tests.conftest import composed
from tests.tracking.mlflow_server import MlflowServer

STEPS = 4
ROOT = Path(__file__).parents[2]

Watch = Callable[[LogMetric], LogMetric]
Write = Callable[[Run, Ready, EvaluationPage], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.kill()


@pytest.fixture
def up(server: MlflowServer) -> MlflowServer:
    server.kill()
    server.start()
    return server


@pytest.fixture(autouse=True)
def _few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


@pytest.fixture
def config(
    server: MlflowServer, tiny_folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Config:
    data = tmp_path / "数据.jsonl"
    data.write_text(
        "".join(
            f'{{"instruction": "question {i} 你是谁", "output": "answer {i * 7919}"}}\n'
            for i in range(80)
        ),
        encoding="utf-8",
    )
    (tmp_path / "store").mkdir()
    return composed(
        "model=folder",
        f"model.location={tiny_folder}",
        f"model.cache={tmp_path / 'models'}",
        "data=alpaca",
        f"data.path='{data}'",
        "data.train_rows=64",
        "data.min_train_rows=1",
        "data.split.held_out_rows=8",
        f"store={tmp_path / 'store'}",
        f"tracking.uri={server.uri}",
        "tracking.artifacts=null",
        f"tracking.experiment={request.node.name.partition('[')[0]}",
        "train=smoke",
        f"train.max_steps={STEPS}",
        "evaluate.max_new_tokens=4",
        "evaluate.probes=[]",
        "judge.card_rows=6",
    )


def write_all(run: Run, ready: Ready, page: EvaluationPage) -> None:
    store, base = ready.stages.store, ready.stages.base
    record_experiment(run, ready.config, ready.plan, store, base=base, page=page)


def run_it(
    config: Config, write: Write = write_all, watch: Watch = lambda log_metric: log_metric
) -> Finished:
    base = find_base(config.model, config.quantization)
    ready = get_ready(config, Stages(Store(config.store), base, run_plainly), base)
    return run_experiment(ready, write, name="一夜", watch=watch)


def require_one_whole_run(server: MlflowServer, config: Config) -> Any:
    """There is one run, and it has all that one without an outage has, once."""
    (run,) = server.runs(config.tracking.experiment)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "一夜"
    assert run.data.tags["loraflow.state"] == "finished"
    assert run.data.params["train.max_steps"] == str(STEPS)
    assert {"evaluate/rougeL", "compare/rougeL_low", "prepare/train"} <= set(run.data.metrics)
    client = MlflowClient(server.uri)
    curve = client.get_metric_history(run.info.run_id, "train/loss")
    assert sorted(point.step for point in curve) == list(range(1, STEPS + 1))
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "libraries.json", "git.diff", "stages", "evaluate", "data"} <= names
    models = client.search_logged_models(
        run.info.experiment_id.split(), filter_string=f"source_run_id='{run.info.run_id}'"
    )
    assert [model.name for model in models] == ["adapter"]
    assert len(run.inputs.dataset_inputs) == 2
    return run


def sync_once(server: MlflowServer, config: Config) -> Any:
    """Log what waits, and see that doing it again changes nothing."""
    logged = sync(config.store)
    assert unlogged_files(config.store) == []
    run = require_one_whole_run(server, config)
    assert list(logged.values()) == [run.info.run_id]
    assert sync(config.store) == {}
    assert require_one_whole_run(server, config).info.run_id == run.info.run_id
    return run


@pytest.mark.slow
def test_away_at_the_start(server: MlflowServer, config: Config) -> None:
    server.kill()
    done = run_it(config)
    assert done.report.is_file()
    assert (done.run_id, done.url, done.is_logged) == ("", "", False)
    assert sync(config.store) == {}
    assert len(unlogged_files(config.store)) == 1
    back = time.time()
    server.start()
    run = sync_once(server, config)
    assert datetime.fromisoformat(run.data.tags["loraflow.started"]).timestamp() <= back


def at_step_2(do: Callable[[], None]) -> Watch:
    """Do something to the server at the second step of a training."""

    def watch(log_metric: LogMetric) -> LogMetric:
        def log(name: str, value: float, step: int) -> None:
            if step == 2:
                do()
            log_metric(name, value, step)

        return log

    return watch


def test_killed_during_training(up: MlflowServer, config: Config) -> None:
    done = run_it(config, watch=at_step_2(up.kill))
    assert done.run_id
    assert not done.is_logged
    up.start()
    assert sync_once(up, config).info.run_id != done.run_id


@pytest.mark.slow
def test_killed_during_training_and_still_away_at_the_next_try(
    up: MlflowServer, config: Config
) -> None:
    done = run_it(config, watch=at_step_2(up.kill))
    assert not run_it(config).is_logged  # out of the store, with no run in MLflow
    up.start()
    assert run_it(config).is_logged
    assert require_one_whole_run(up, config).info.run_id != done.run_id
    assert unlogged_files(config.store) == []


@pytest.mark.slow
def test_frozen_during_training(
    up: MlflowServer, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    done = run_it(config, watch=at_step_2(up.freeze))
    assert not done.is_logged
    up.kill()
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    up.start()
    sync_once(up, config)


@pytest.mark.slow
def test_back_before_the_end(up: MlflowServer, config: Config) -> None:
    def write(run: Run, ready: Ready, page: EvaluationPage) -> None:
        up.start()
        write_all(run, ready, page)

    done = run_it(config, write, at_step_2(up.kill))
    assert done.is_logged
    assert unlogged_files(config.store) == []
    assert require_one_whole_run(up, config).info.run_id == done.run_id


def write_half(run: Run, ready: Ready, page: EvaluationPage, kill: Callable[[], None]) -> None:
    store, plan = ready.stages.store, ready.plan
    log_result(run, ready.config, plan, store, base=ready.stages.base, page=page)
    kill()
    log_data(run, plan, store)


def write_whole(run: Run, ready: Ready, page: EvaluationPage, kill: Callable[[], None]) -> None:
    write_all(run, ready, page)
    kill()


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_half, write_whole])
def test_killed_at_the_end(
    up: MlflowServer, config: Config, write: Callable[..., None], tmp_path: Path
) -> None:
    name = f"end_{write.__name__}"
    config = replace(config, tracking=replace(config.tracking, experiment=name))
    done = run_it(config, lambda run, ready, page: write(run, ready, page, up.kill))
    assert not done.is_logged
    up.start()
    (half,) = up.runs(name)
    assert half.info.status == "RUNNING"
    (tmp_path / "数据.jsonl").write_text("the next day's data")
    tidy(config.store, 0, {})
    sync_once(up, config)


@pytest.mark.slow
def test_a_sync_that_is_killed_is_done_again_and_leaves_one_run(
    server: MlflowServer, config: Config
) -> None:
    server.kill()
    run_it(config)
    server.start()
    command = [sys.executable, "-m", "flows.sync", f"store={config.store}"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ.copy()) as process:
        while process.poll() is None:
            if any('"run": ""' not in file.read_text() for file in unlogged_files(config.store)):
                process.kill()
    assert process.returncode < 0, "it was done before it could be killed"
    assert [run.info.status for run in server.runs(config.tracking.experiment)] == ["RUNNING"]
    sync_once(server, config)


@pytest.mark.slow
def test_what_is_gone_from_the_store_is_said_and_the_note_stays(
    server: MlflowServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    done = run_it(config)
    server.start()
    done.trained.rename(done.trained.with_name("elsewhere"))
    assert sync(config.store) == {}
    assert "no output of the stage train" in caplog.text
    assert server.runs(config.tracking.experiment) == []
    assert len(unlogged_files(config.store)) == 1
    done.trained.with_name("elsewhere").rename(done.trained)
    sync(config.store)
    require_one_whole_run(server, config)


@pytest.mark.slow
def test_a_deleted_experiment_is_said_and_the_note_waits_for_it(
    up: MlflowServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    client, name = MlflowClient(up.uri), config.tracking.experiment
    client.delete_experiment(experiment := client.create_experiment(name))
    up.kill()
    run_it(config)
    up.start()
    assert sync(config.store) == {}
    (note,) = unlogged_files(config.store)
    assert f"{note.name} is not in MLflow yet: tracking.uri={up.uri} refuses 一夜" in caplog.text
    client.restore_experiment(experiment)
    sync_once(up, config)


@pytest.mark.slow
def test_the_same_command_logs_it_too_and_then_there_is_nothing_to_sync(
    server: MlflowServer, config: Config
) -> None:
    server.kill()
    run_it(config)
    server.start()
    assert run_it(config).is_logged
    require_one_whole_run(server, config)
    assert unlogged_files(config.store) == []
