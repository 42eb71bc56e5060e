"""Reads back from MLflow what a run tells people of what it trained: for a model card."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loraflow.config import TrackingConfig
from loraflow.files import ITEMS, read_json, read_lines
from loraflow.store import RESULT
from loraflow.tracking.connection import connect
from loraflow.tracking.evaluation import FOLDER
from loraflow.tracking.fetch import Artifacts, find_run, reading_artifacts
from loraflow.tracking.result import STAGES
from loraflow.tracking.run import COMMIT_TAG, DATA_TAG

_NOTE = "mlflow.note.content"


@dataclass(frozen=True)
class Described:
    """A run, as a card shows it. What an older version did not log is empty."""

    id: str
    date: str  # when it was started, ISO
    commit: str  # of loraflow
    data_fingerprint: str
    findings: str  # Markdown: sentences and tables, with intervals
    prepared: Mapping[str, Any]  # result.json of the stage prepare
    trained: Mapping[str, Any]  # of train
    evaluated: Mapping[str, Any]  # of the evaluation of what was trained
    probed: Mapping[str, Any]  # of probes of what its base could do before
    questions: Mapping[str, str]  # id of a held-out row -> its last message before the answer


def describe_run(tracking: TrackingConfig, run_id: str) -> Described:
    """Return what the run of an experiment or a trial tells of itself.

    Raises:
        UserError: if there is no such run; a PassingError if MLflow is away.
    """
    client, _ = connect(tracking)
    run = find_run(client, tracking, run_id)
    tags = run.data.tags
    started = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    with reading_artifacts(client, run_id) as files:
        return Described(
            id=run_id,
            date=started.date().isoformat(),
            commit=tags.get(COMMIT_TAG, ""),
            data_fingerprint=tags.get(DATA_TAG, ""),
            findings=tags.get(_NOTE, ""),
            prepared=_result(files, "prepare"),
            trained=_result(files, "train"),
            evaluated=_result(files, "evaluate_tuned"),
            probed=_result(files, "probe_tuned"),
            questions=_questions(files),
        )


def _result(files: Artifacts, stage: str) -> Mapping[str, Any]:
    path = _fetched(files, f"{STAGES}/{stage}", RESULT)
    found: Mapping[str, Any] = {} if path is None else read_json(path)
    return found


def _questions(files: Artifacts) -> Mapping[str, str]:
    """Leave out rows of raw text, which ask nothing."""
    items = _fetched(files, f"{FOLDER}/evaluate_tuned", ITEMS)
    rows = [] if items is None else read_lines(items)
    return {row["id"]: row["prompt"] for row in rows if row.get("prompt", "").strip()}


def _fetched(files: Artifacts, folder: str, name: str) -> Path | None:
    return files.fetch(f"{folder}/{name}") if name in files.names(folder) else None
