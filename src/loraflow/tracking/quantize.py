"""Writes what a tuned model is in fewer bits into an MLflow run."""

from collections.abc import Sequence

from loraflow.check import dump_config
from loraflow.config import Config
from loraflow.evaluate.precision import Precision, precision_metrics
from loraflow.tracking.data import log_params
from loraflow.tracking.run import Run


def record_precisions(run: Run, config: Config, rows: Sequence[Precision], text: str) -> None:
    """Log the config, the table's numbers, and the table."""
    log_params(run, dump_config(config))
    for name, value in precision_metrics(rows).items():
        run.log_metric(name, value)
    run.flush()
    run.client.set_tag(run.id, "mlflow.note.content", text)
    run.client.log_text(run.id, text, "quantize.md")
    run.recorded = True
