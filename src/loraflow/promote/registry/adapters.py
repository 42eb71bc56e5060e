"""The adapters behind versions: found among what a run logged, and fetched whole or not at all."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from loraflow.errors import UserError
from loraflow.promote.registry.version import digests_of


def find_logged(client: MlflowClient, run_id: str, files: Mapping[str, str]) -> str:
    """Return the source, models:/ID, of the model that a run has logged with exactly these files.

    Raises:
        UserError: if it has logged none.
    """
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], filter_string=f"source_run_id='{run_id}'")
    for model in found:
        if model.status == "READY" and _fetched_digests(model.model_uri) == files:
            return str(model.model_uri)
    raise UserError(
        f"run={run_id} has not logged this adapter, so it cannot be registered; start the command "
        "of the run again, which logs it out of the store"
    )


def link_version(client: MlflowClient, source: str, name: str, number: int) -> None:
    """Let the pages of the run and of its logged model show the version."""
    model: LoggedModel = client.get_logged_model(source.removeprefix("models:/"))
    links = json.loads(model.tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    link = {"name": name, "version": number}
    if link not in links:
        tags = {MLFLOW_MODEL_VERSIONS: json.dumps([*links, link])}
        client.set_logged_model_tags(model.model_id, tags)


def fetch_whole(source: str, files: Mapping[str, str], *, out: Path) -> None:
    """Fetch a logged model into the folder `out`, which exists only if every file is as it was.

    Raises:
        UserError: if a file is missing, has changed or was added.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / "adapter"
        folder.mkdir()
        _download(source, folder)
        found = digests_of(folder)
        if odd := sorted(name for name, _ in found.items() ^ files.items()):
            raise UserError(
                f"{source} is not what was registered ({', '.join(dict.fromkeys(odd))}: missing, "
                "changed or added); restore its artifacts, or choose another version: "
                "make rollback ARGS='version=N reason=\"...\"'"
            )
        os.replace(folder, out)


def _fetched_digests(source: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as scratch:
        _download(source, Path(scratch))
        return digests_of(Path(scratch))


def _download(source: str, folder: Path) -> None:
    try:
        mlflow.artifacts.download_artifacts(source, dst_path=str(folder))
    except OSError as error:
        raise UserError(
            f"the files of {source} cannot be read: {str(error)[:200]}; start the MLflow server, "
            "or restore its artifacts"
        ) from error
