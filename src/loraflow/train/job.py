"""One training: its settings, what it reads, and where it keeps what must outlive a kill."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loraflow.config import AdapterConfig, TrainConfig
from loraflow.measure import LogMetric
from loraflow.model.source import BaseModel

if TYPE_CHECKING:
    from loraflow.model.lend import ModelLender


@dataclass(frozen=True)
class Job:
    """All that a trainer is built from."""

    adapter: AdapterConfig
    settings: TrainConfig
    base: BaseModel
    tokens: Path  # output of the stage tokenize
    start: Path | None  # output of the training whose adapter this one goes on with
    work: Path  # checkpoints; outlives an interruption, deleted when the output is whole
    log_metric: LogMetric
    lender: "ModelLender | None" = None  # of a base that others use too; None: load one
    pause_at: int | None = None  # step behind which it waits to be told to go on
