"""What cannot be read back from MLflow: a server that is away, and files that cannot be copied."""

import errno
import os
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.tracking.connection import Unreachable
from loraflow.tracking.fetch import fetch_settings, fetch_trained, find_run
from tests.serve.trained_runs import log_run

pytestmark = pytest.mark.filterwarnings("ignore")


class Away(MlflowClient):
    """A client of a server, or of a database, that answers nothing."""

    def get_run(self, run_id: str) -> Run:
        raise MlflowException(f"{run_id}: no route", error_code=TEMPORARILY_UNAVAILABLE)


def test_a_server_that_is_away_may_come_back_and_a_database_here_is_no_server(
    tracking: TrackingConfig,
) -> None:
    server = TrackingConfig("http://127.0.0.1:9", None, "e", "http://127.0.0.1:5000")
    with pytest.raises(Unreachable, match=r"tracking\.uri=http://127\.0\.0\.1:9 does not answer"):
        find_run(Away(tracking.uri), server, "r1")
    with pytest.raises(UserError, match="run=r1 is no run with a config") as raised:
        find_run(Away(tracking.uri), tracking, "r1")
    assert not isinstance(raised.value, Unreachable)


def test_files_that_cannot_be_copied_are_the_users_to_mend(
    tracking: TrackingConfig,
    tiny_base: BaseModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = log_run(tracking, tiny_base, tmp_path / "night", 1)
    assert fetch_settings(tracking, night.run_id)["template"]["name"] == "native"

    def fill_the_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LocalArtifactRepository, "_download_file", fill_the_disk)
    said = rf"(?s)run={night.run_id}: its files cannot be read from sqlite.*whether this disk is"
    with pytest.raises(UserError, match=said):
        fetch_settings(tracking, night.run_id)
    with pytest.raises(UserError, match=said):
        fetch_trained(tracking, night.run_id, out=tmp_path)
    assert not (tmp_path / "adapter").exists()
