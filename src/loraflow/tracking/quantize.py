"""Writes what a tuned model is in fewer bits into an MLflow run."""

from collections.abc import Sequence

from loraflow.check import dump_config
from loraflow.config import Config
from loraflow.evaluate.precision import Precision, precision_metrics
from loraflow.tracking.data import as_params
from loraflow.tracking.run import Run


def record_precisions(run: Run, config: Config, rows: Sequence[Precision], text: str) -> None:
    """Log the config, the table's numbers, and the table."""
    run.log_values(
        params=as_params(dump_config(config)),
        metrics=precision_metrics(rows),
        tags={"mlflow.note.content": text},
    )
    run.client.log_text(run.id, text, "quantize.md")
    run.recorded = True
