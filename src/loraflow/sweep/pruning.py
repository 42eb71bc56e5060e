"""Hyperband: stops a trial that is far behind those before it, by its loss on rows apart.

Li et al. 2018, arXiv:1603.06560. The rows of the comparison see nothing.
"""

from dataclasses import dataclass

from loraflow.config import SearchConfig
from loraflow.errors import Pruned
from loraflow.measure import LogMetric

LOOK = "train/validation_loss"


@dataclass(frozen=True)
class Pruning:
    """Reports a trial's losses to its study and asks whether it may go on; can be pickled."""

    search: SearchConfig
    study: str
    number: int  # of the trial in the study

    def watch(self, log_metric: LogMetric, *, first_look: int) -> LogMetric:
        """Return what logs metrics, and raises `Pruned` when the study says so.

        `first_look` is its step, and the number of steps from one look to the next.
        """
        # Optuna takes a second that only pruned sweeps need
        from loraflow.sweep.study import hyperband, open_study, open_trial  # noqa: PLC0415

        study = open_study(self.search, self.study)
        study.pruner = hyperband(first_look)
        trial, told = open_trial(study, self.number)

        def log(name: str, value: float, step: int) -> None:
            log_metric(name, value, step)
            if name != LOOK:
                return
            if step not in told:
                trial.report(value, step)
            if trial.should_prune():
                raise Pruned(f"at step {step}: the loss on rows apart, {value:.4f}, is far behind")

        return log
