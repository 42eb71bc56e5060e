"""What MLflow has of a training that stops before its end."""

from typing import Any

import pytest
from mlflow import MlflowClient

from flows.pipeline import get_ready, run_experiment
from flows.running import run_plainly
from flows.stages import Stages
from loraflow.errors import Paused
from loraflow.files import HISTORY, write_lines
from loraflow.model.source import find_base
from loraflow.store import Store
from tests.conftest import composed
from tests.tracking.servers import all_runs


def test_a_training_that_goes_on_after_a_kill_and_pauses_has_its_whole_curve(
    tiny_overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(*tiny_overrides)
    config.store.mkdir()  # as check_machine makes it before
    base = find_base(config.model, config.quantization)
    ready = get_ready(config, Stages(Store(config.store), base, run_plainly), base)

    def go_on(*args: Any) -> None:
        work = ready.stages.store.work(ready.plan.last.train)
        work.mkdir(parents=True)
        # a process that was killed has trained the first two
        write_lines(
            work / HISTORY, [{"step": step, "train/loss": 9.0 - step} for step in (1, 2, 3)]
        )
        log_metric = args[3]
        log_metric("train/loss", 6.0, 3)
        raise Paused(3, 9)

    monkeypatch.setattr("flows.pipeline.run_training_stages", go_on)
    with pytest.raises(Paused):
        run_experiment(ready, lambda *_: None, name="trial", pause_at=3)
    (run,) = all_runs(config.tracking)
    assert run.data.tags["loraflow.state"] == "pruned"
    assert [point.step for point in curve(config.tracking.uri, run.info.run_id)] == [1, 2, 3]


def curve(uri: str, run_id: str) -> list[Any]:
    points = MlflowClient(uri).get_metric_history(run_id, "train/loss")
    return sorted(points, key=lambda point: point.step)
