"""What became of the trials of a sweep: a small file for each, read again when it goes on."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from loraflow.files import HISTORY, read_json, read_lines, write_json
from loraflow.lock import locked
from loraflow.store import make_key
from loraflow.sweep.pruning import LOOK
from loraflow.sweep.trials import Trial

Curve = list[tuple[int, float]]
"""Step and loss."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended, or how far it came."""

    trial: str
    state: Literal["finished", "paused", "pruned", "failed"]
    reason: str = ""  # why it failed, or where it was paused or pruned
    step: int = 0  # behind which it was paused
    failures: int = 0  # so far
    parent: str = ""  # MLflow run of the sweep that it is logged under
    url: str = ""  # of its own MLflow run
    trained: str = ""  # folder of the stage train
    evaluated: str = ""  # folder of the stage evaluate, of the tuned model (or of the base alone)
    graded: str = ""  # folder of the judge's ratings; empty: there are none
    losses: Curve = ()  # type: ignore[assignment]  # training loss
    validation: Curve = ()  # type: ignore[assignment]  # loss on rows apart

    def is_there(self, parent: str, pause_at: int | None = None) -> bool:
        """Tell whether nothing is left to do: logged below `parent`, with its outputs there.

        With `pause_at` it is enough to have come so far.
        """
        if self.state == "finished":
            kept = all(Path(folder).is_dir() for folder in (self.trained, self.evaluated))
            return kept and self.parent == parent
        if self.state == "paused":
            return pause_at is not None and self.has_reached(pause_at)
        return self.state == "pruned"

    def has_reached(self, step: int) -> bool:
        """Tell whether it was trained so far, or to its end."""
        return bool(self.trained) or self.step >= step

    def best_loss(self, step: float) -> float:
        """Return the least loss on rows apart until `step`; infinite if none was measured."""
        losses = [loss for at, loss in self.validation if at <= step and math.isfinite(loss)]
        return min(losses, default=math.inf)


class Notes:
    """The folder of a sweep's outcomes. Whatever is killed when, a file is whole or not there."""

    def __init__(self, folder: Path) -> None:
        """Keep notes in `folder`; made with the first one."""
        self.folder = folder

    def read(self, trial: Trial) -> Outcome | None:
        """Return how a trial ended; None: it has not."""
        path = self._path(trial)
        return Outcome(**read_json(path)) if path.is_file() else None

    def write(self, trial: Trial, outcome: Outcome) -> None:
        """Note how a trial ended."""
        path = self._path(trial)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        write_json(partial, asdict(outcome))
        partial.replace(path)

    def write_failure(self, trial: Trial, reason: str) -> None:
        """Note that a trial failed, once more."""
        earlier = self.read(trial)
        failed = Outcome(trial.name, "failed", reason)
        self.write(trial, replace(failed, failures=1 + (earlier.failures if earlier else 0)))

    @contextmanager
    def alone(self, trial: Trial) -> Iterator[None]:
        """Hold a trial against other workers: a scheduler may hand out one twice."""
        with locked(self._path(trial).with_suffix(".lock")):
            yield

    def _path(self, trial: Trial) -> Path:
        key = make_key("trial", 1, arm=trial.arm, sets=dict(trial.sets))
        return self.folder / f"{key.digest[:20]}.json"


def read_curves(folder: Path) -> tuple[Curve, Curve]:
    """Return the losses of each step in a training's history, and those on rows apart."""
    path = folder / HISTORY
    rows = read_lines(path) if path.is_file() else []
    losses, validation = (
        [(row["step"], row[name]) for row in rows if name in row] for name in ("train/loss", LOOK)
    )
    return losses, validation
