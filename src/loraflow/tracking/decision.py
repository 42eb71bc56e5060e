"""Writes a decision of the gate into the MLflow run of its night, and reads it back."""

import tempfile
from pathlib import Path

from mlflow.exceptions import MlflowException

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.promote.gate.saved import EVIDENCE, FOLDER, Saved, read_decision
from loraflow.tracking.connection import connect


def log_decision(tracking: TrackingConfig, run_id: str, decided: Path, drift: Path | None) -> None:
    """Log the evidence and the decision of a night, and the drift of its data, to its run."""
    client, _ = connect(tracking)
    client.log_artifacts(run_id, str(decided), FOLDER)
    if drift is not None:
        client.log_artifacts(run_id, str(drift), "drift")


def fetch_decision(tracking: TrackingConfig, run_id: str) -> Saved:
    """Read the decision of a run, with its evidence.

    Raises:
        UserError: if there is no such run, or it holds no decision.
    """
    client, _ = connect(tracking)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            folder = Path(client.download_artifacts(run_id, FOLDER, scratch))
        except (MlflowException, OSError) as error:
            raise UserError(
                f"run={run_id} of {tracking.uri} has no {FOLDER}/{EVIDENCE}: {str(error)[:200]}; "
                "give the run of a night that came to a decision, or set tracking.uri"
            ) from error
        return read_decision(folder)
