"""Stops a hopeless trial early, by its loss on rows apart; the rows of the comparison see nothing.

- Successive halving, asynchronous: Li et al. 2020, arXiv:1810.05934.
- Hyperband: Li et al. 2018, arXiv:1603.06560.
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
        from optuna.trial import Trial  # noqa: PLC0415 - a second that only pruned sweeps need

        from loraflow.sweep.study import make_pruner, open_study  # noqa: PLC0415

        study = open_study(self.search, self.study)
        study.pruner = make_pruner(self.search.pruning, first_look)
        frozen = study.get_trials(deepcopy=False)[self.number]
        trial = Trial(study, frozen._trial_id)  # Optuna has no other way in another process
        told = set(frozen.intermediate_values)  # before an interruption

        def log(name: str, value: float, step: int) -> None:
            log_metric(name, value, step)
            if name != LOOK:
                return
            if step not in told:
                trial.report(value, step)
            if trial.should_prune():
                raise Pruned(f"at step {step}: the loss on rows apart, {value:.4f}, is far behind")

        return log
