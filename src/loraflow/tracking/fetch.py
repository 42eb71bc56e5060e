"""Reads back from MLflow what a run was made of: its config, what it trained, what it measured."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run as FoundRun
from mlflow.exceptions import MlflowException
from omegaconf import OmegaConf

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.files import HISTORY, ITEMS, read_lines
from loraflow.tracking.connection import Unreachable, connect, is_outage, run_url
from loraflow.tracking.evaluation import FOLDER
from loraflow.tracking.result import CONFIG, REVISION_TAG, STAGES
from loraflow.tracking.run import REASON_TAG, STATE_TAG
from loraflow.tracking.sweep import SETTINGS

_KINDS = {"adapter": "adapter", "model": "model"}


@dataclass(frozen=True)
class FetchedTrial:
    """An experiment, or a trial of a sweep, as its MLflow run has it."""

    id: str
    name: str
    url: str
    settings: Mapping[str, Any]  # its config, as `load_config` reads it
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    state: str
    base_items: Sequence[Mapping[str, Any]]  # held-out rows, with the judge's ratings
    tuned_items: Sequence[Mapping[str, Any]] | None  # None: nothing was trained
    history: Sequence[Mapping[str, Any]]  # metrics of the training, and their step


def fetch_trial(tracking: TrackingConfig, run_id: str) -> FetchedTrial:
    """Return all that it takes to compare a run with others, from MLflow alone.

    Raises:
        UserError: if there is no such run, or it holds no items of an experiment.
    """
    client, _ = connect(tracking)
    run = find_run(client, tracking, run_id)
    settings = fetch_settings(tracking, run_id)
    with reading_artifacts(client, run_id) as files:
        stages = files.names(FOLDER)
        if "evaluate_base" not in stages or ITEMS not in files.names(f"{FOLDER}/evaluate_base"):
            raise UserError(
                f"run={run_id} was logged by an older version, without raw items; start its "
                "command again with tracking.experiment=NEW, which logs it anew out of the store"
            )
        return FetchedTrial(
            id=run_id,
            name=run.info.run_name,
            url=run_url(tracking, run.info),
            settings=settings,
            params=run.data.params,
            metrics=run.data.metrics,
            state=run.data.tags[STATE_TAG],
            base_items=_items(files, stages, "base"),
            tuned_items=_items(files, stages, "tuned") if "evaluate_tuned" in stages else None,
            history=read_lines(files.fetch(f"{STAGES}/train/{HISTORY}")),
        )


def fetch_settings(tracking: TrackingConfig, run_id: str) -> dict[str, Any]:
    """Return the config that an experiment, or a trial of a sweep, was started with.

    Raises:
        UserError: if there is no such run, or it holds no config; a PassingError if MLflow is away.
    """
    client, _ = connect(tracking)
    run = find_run(client, tracking, run_id)
    with _explained(tracking, run_id), reading_artifacts(client, run_id) as files:
        names = files.names("")
        if CONFIG not in names:
            raise UserError(f"run={run_id} {_what_else(run, names)}")
        settings = OmegaConf.to_container(OmegaConf.load(files.fetch(CONFIG)))
    if not isinstance(settings, dict):
        raise UserError(f"run={run_id}: its {CONFIG} holds no sections; was it edited?")
    return {str(name): section for name, section in settings.items()}


def fetch_revision(tracking: TrackingConfig, run_id: str) -> str | None:
    """Return the revision of the base model that a run trained on; None if it has not logged it.

    Raises:
        UserError: if there is no such run; a PassingError if MLflow is away.
    """
    client, _ = connect(tracking)
    revision: str | None = find_run(client, tracking, run_id).data.tags.get(REVISION_TAG)
    return revision


def fetch_trained(tracking: TrackingConfig, run_id: str, *, out: Path) -> dict[str, Any]:
    """Copy what a run trained, an adapter or a model, to `out`.

    Raises:
        UserError: if it logged none, or its files cannot be read; a PassingError if MLflow is away.
    """
    client, _ = connect(tracking)
    experiment = find_run(client, tracking, run_id).info.experiment_id
    of_run = f"source_run_id='{run_id}'"
    with _explained(tracking, run_id):
        for model in client.search_logged_models([experiment], filter_string=of_run):
            if model.name in _KINDS:
                with tempfile.TemporaryDirectory(dir=out) as scratch:
                    found = mlflow.artifacts.download_artifacts(
                        f"models:/{model.model_id}", dst_path=scratch
                    )
                    shutil.move(found, out / _KINDS[model.name])
                return {"counts": {}, "metrics": {}, "run": run_id}
    raise UserError(f"run={run_id} has logged neither an adapter nor a model; evaluate another run")


class Artifacts:
    """The files of a run, fetched one by one to a folder that is gone behind the block."""

    def __init__(self, client: MlflowClient, run_id: str, folder: str) -> None:
        """Copy files of the run to `folder`."""
        self._client = client
        self._run_id = run_id
        self._folder = folder

    def names(self, folder: str) -> set[str]:
        """Return what is in a folder; nothing, if there is none."""
        found = self._client.list_artifacts(self._run_id, folder or None)
        return {file.path.rpartition("/")[2] for file in found}

    def fetch(self, path: str) -> Path:
        """Return a local copy of a file."""
        return Path(self._client.download_artifacts(self._run_id, path, self._folder))


@contextmanager
def reading_artifacts(client: MlflowClient, run_id: str) -> Iterator[Artifacts]:
    """Let the block fetch files of a run."""
    with tempfile.TemporaryDirectory() as scratch:
        yield Artifacts(client, run_id, scratch)


def find_run(client: MlflowClient, tracking: TrackingConfig, run_id: str) -> FoundRun:
    """Return a run.

    Raises:
        UserError: if there is none of this id; a PassingError if MLflow is away.
    """
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if is_outage(tracking, error):
            raise _away(tracking, error) from error
        raise UserError(
            f"run={run_id} is no run with a config in {tracking.uri}: {str(error)[:200]}; copy the "
            "run's id from the MLflow UI, or set tracking.uri"
        ) from error


@contextmanager
def _explained(tracking: TrackingConfig, run_id: str) -> Iterator[None]:
    """Say in this project's words why files of a run cannot be read."""
    try:
        yield
    except MlflowException as error:
        if is_outage(tracking, error):
            raise _away(tracking, error) from error
        raise UserError(
            f"run={run_id}: its files cannot be read from {tracking.uri}: {str(error)[:200]}; "
            "restore its artifacts, or see whether this disk is full"
        ) from error


def _away(tracking: TrackingConfig, error: MlflowException) -> Unreachable:
    return Unreachable(
        f"tracking.uri={tracking.uri} does not answer: {str(error)[:200]}; start the server"
    )


def _what_else(run: FoundRun, names: set[str]) -> str:
    """Say what a run is that holds no experiment's config."""
    if SETTINGS in names:
        return "is a whole sweep; give the runs of its trials, which the MLflow UI shows below it"
    if run.info.status != "FINISHED":
        state = run.data.tags.get(STATE_TAG, run.info.status.lower())
        reason = run.data.tags.get(REASON_TAG, "")
        return f"has no results ({': '.join(filter(None, [state, reason]))}); give one that has"
    return (
        "is no experiment, but one of its parts (the data, an evaluation, a comparison) alone; "
        "give a run of make run or make sweep"
    )


def _items(files: Artifacts, stages: set[str], arm: str) -> list[dict[str, Any]]:
    """Return what an arm made of the held-out rows, with the judge's ratings."""
    items = read_lines(files.fetch(f"{FOLDER}/evaluate_{arm}/{ITEMS}"))
    if f"grade_{arm}" not in stages:
        return items
    rows = read_lines(files.fetch(f"{FOLDER}/grade_{arm}/{ITEMS}"))
    grades = {row["id"]: row for row in rows}
    return [{**item, **grades[item["id"]]} for item in items]
