"""MLflow's server dies while a night goes on: it ends once, and promotes once, all the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.nights_project import Nights, good
from tests.nights_watched import Watched, champion_in, dashboard, versions
from tests.tracking.mlflow_server import MlflowServer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PATIENT = ["schedule.retries=9", "schedule.retry_minutes=0.05"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def nights(
    server: MlflowServer, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nights]:
    """A line on the server, that one test after another adds nights to."""
    words = [f"tracking.uri={server.uri}", "tracking.artifacts=null"]
    nights = Nights(tiny_folder, tmp_path_factory.mktemp("outage"), *words)
    nights.project.environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    with dashboard(nights):
        yield nights


def test_away_at_the_start_and_back_while_the_night_waits(
    nights: Nights, server: MlflowServer
) -> None:
    nights.write("day1.jsonl", good(120, seed=1))
    night = Watched(nights, *PATIENT)
    night.until_said("does not answer; the challenger is trained and in the store")
    server.start()
    require_promoted(nights, server, night, 1)


def test_killed_during_training(nights: Nights, server: MlflowServer) -> None:
    nights.write("day2.jsonl", good(500, seed=2))
    night = Watched(nights, *PATIENT, "train.checkpoint.steps=2")
    unfinished = nights.project.folder / "store" / "unfinished" / "train"
    night.until(lambda: list(unfinished.glob("*/checkpoints/step-*")))
    server.kill()
    night.until_said("again in")
    server.start()
    require_promoted(nights, server, night, 2)


def test_away_for_good_right_after_training_and_killed_while_the_champion_moves(
    nights: Nights, server: MlflowServer
) -> None:
    nights.write("day3.jsonl", good(1500, seed=3))
    night = Watched(nights, "schedule.retries=1", "schedule.retry_minutes=0.01")
    night.until_said("train done in")
    server.kill()
    assert night.end() == 2
    assert "Traceback" not in night.said
    last = nights.last()
    assert (last.outcome, last.champion, last.version) == ("failed", 2, None)
    assert f"tracking.uri={server.uri} does not answer; the challenger is trained" in last.reason
    assert champion_in(server.folder / "server.db") == 2

    server.start()
    night = Watched(nights, *PATIENT)
    night.until(lambda: champion_in(server.folder / "server.db") == 3)
    server.kill()  # in the middle of the promotion
    server.start()
    require_promoted(nights, server, night, 3)
    assert "train reused" in " ".join(night.said.split())


def require_promoted(nights: Nights, server: MlflowServer, night: Watched, number: int) -> None:
    """The night promotes this version, and there is nothing twice of what it leaves."""
    assert night.end() == 0, night.said[-3000:]
    last = nights.last()
    assert (last.outcome, last.version, last.champion) == ("promoted", number, number)
    database = server.folder / "server.db"
    assert versions(database) == list(range(1, number + 1))
    assert champion_in(database) == number
    promoted = [one for one in nights.line.nights() if one.outcome == "promoted"]
    assert len(promoted) == number
    runs = server.runs("loraflow")
    assert [run.info.status for run in runs] == ["FINISHED"] * number
    assert {run.data.tags["loraflow.state"] for run in runs} == {"finished"}
    require_one_adapter(MlflowClient(server.uri), last.run_id)


def require_one_adapter(client: Any, run_id: str) -> None:
    experiment = client.get_run(run_id).info.experiment_id
    models = client.search_logged_models([experiment], filter_string=f"source_run_id='{run_id}'")
    assert [model.name for model in models] == ["adapter"]
