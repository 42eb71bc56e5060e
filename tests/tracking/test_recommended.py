"""What sweeps recommend, as a night finds it."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from loraflow.config import Config
from loraflow.tracking.connection import connect
from loraflow.tracking.provenance import provenance
from loraflow.tracking.recommended import fetch_recommended, record_recommended
from loraflow.tracking.run import Run
from tests.conftest import composed


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return composed(
        f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}", f"tracking.artifacts={tmp_path}"
    )


def note(config: Config, sets: dict[str, Any], model: str) -> None:
    client, experiment = connect(config.tracking)
    assert isinstance(client, MlflowClient)
    run = Run(client, client.create_run(experiment).info.run_id, "", provenance())
    run.log_values(params={"model.name": model})
    record_recommended(run, sets)


def test_newest_sweep_over_the_same_model_that_recommends_anything_is_followed(
    config: Config,
) -> None:
    name = config.model.name
    note(config, {"adapter.r": 2}, name)
    note(config, {"adapter.r": 4, "adapter.target_modules": "全部"}, name)
    note(config, {}, name)  # no arm was clearly better than the base
    note(config, {"adapter.r": 8}, "another")
    assert fetch_recommended(config) == {"adapter.r": 4, "adapter.target_modules": "全部"}


def test_sweep_that_recommends_nothing_is_not_followed(config: Config) -> None:
    note(config, {}, config.model.name)
    assert fetch_recommended(config) == {}
