"""A database for all tests, since making one takes a second, and an experiment for each."""

from pathlib import Path

import pytest

from loraflow.config import TrackingConfig
from tests.tracking.servers import tracking_in


@pytest.fixture(scope="session")
def tracking_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlruns")


@pytest.fixture
def tracking(tracking_folder: Path, request: pytest.FixtureRequest) -> TrackingConfig:
    return tracking_in(tracking_folder, request.node.name)
