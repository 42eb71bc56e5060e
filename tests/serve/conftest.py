"""A registry with two versions behind a real MLflow server, for servers that are processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loraflow.config import TrackingConfig
from loraflow.model.source import find_base
from loraflow.promote.registry.registry import Registry
from tests.conftest import composed
from tests.serve.trained_runs import log_run, promote
from tests.tracking.mlflow_server import MlflowServer


@pytest.fixture(scope="module")
def live_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def live_tracking(live_mlflow: MlflowServer) -> TrackingConfig:
    return TrackingConfig(live_mlflow.uri, None, "served", "http://127.0.0.1:5000")


@pytest.fixture(scope="module")
def live_registry(
    live_tracking: TrackingConfig, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Registry:
    """Two versions, of which the second is champion."""
    settings = composed("model=folder", f"model.location={tiny_folder}", "quantization=none")
    base = find_base(settings.model, settings.quantization)
    registry = Registry(live_tracking, "m")
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp(f"night{seed}")
        promote(registry, log_run(live_tracking, base, folder, seed))
    return registry
