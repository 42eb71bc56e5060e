"""Reads back a decision of the gate from the MLflow run of its night."""

from pathlib import Path

from mlflow.exceptions import MlflowException

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.promote.saved import EVIDENCE, FOLDER
from loraflow.tracking.connection import connect


def fetch_decision(tracking: TrackingConfig, run_id: str, *, out: Path) -> Path:
    """Copy evidence.json and decision.json of a run to `out`, and return their folder.

    Raises:
        UserError: if there is no such run, or it holds no decision.
    """
    client, _ = connect(tracking)
    try:
        return Path(client.download_artifacts(run_id, FOLDER, str(out)))
    except (MlflowException, OSError) as error:
        raise UserError(
            f"run={run_id} of {tracking.uri} has no {FOLDER}/{EVIDENCE}: {str(error)[:200]}; give "
            "the run of a night that came to a decision, or set tracking.uri"
        ) from error
