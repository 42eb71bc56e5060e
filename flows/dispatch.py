"""Has trials of a sweep run by its runner, and tells how far each of them came."""

from collections.abc import Sequence
from pathlib import Path

from flows.runners import run_trials
from flows.trial import Assignment, Order
from loraflow.config import RunnerConfig
from loraflow.sweep.outcome import Notes, Outcome
from loraflow.sweep.request import Request, Settings
from loraflow.sweep.trials import Trial

HERE = RunnerConfig("local", 1, None, 0)  # one after another, in this process


class Dispatch:
    """Runs what has attempts left and is not done."""

    def __init__(self, request: Request, notes: Notes, parent: str) -> None:
        """Run trials of `request` below the MLflow run `parent`; how they end is in `notes`."""
        self.request = request
        self.notes = notes
        self._parent = parent
        self._settings: dict[str, Settings] = {}

    def run(self, orders: Sequence[Order], runner: RunnerConfig) -> None:
        """Run trials that have attempts left; those that are done show as `Cached`."""
        before = {order.trial.name: self.failures(order.trial) for order in orders}
        assignments = [
            Assignment(
                order,
                self.settings_of(order.trial),
                self.notes.folder,
                self._parent,
                Path.cwd(),
            )
            for order in orders
            if not self.is_used_up(order.trial)
        ]

        def has_ended(assignment: Assignment) -> bool:
            order = assignment.order
            outcome = self.notes.read(order.trial)
            return outcome is not None and (
                outcome.is_there(self._parent, order.pause_at)
                or outcome.failures > before[order.trial.name]
            )

        run_trials(assignments, runner, has_ended)

    def settings_of(self, trial: Trial) -> Settings:
        """Return the whole config of a trial, composed once."""
        if trial.name not in self._settings:
            self._settings[trial.name] = self.request.settings_of(trial)
        return self._settings[trial.name]

    def standing(self, trial: Trial, failures: int) -> Outcome | None:
        """Return how far a trial came; None: it is still to begin.

        That is also one with no more than `failures` that has attempts left.
        """
        outcome = self.notes.read(trial)
        if outcome is None or outcome.state != "failed":
            return outcome
        may_try = outcome.failures <= failures and not self.is_used_up(trial)
        return None if may_try else outcome

    def is_finished(self, trial: Trial) -> bool:
        """Tell whether a trial was trained and evaluated."""
        outcome = self.notes.read(trial)
        return outcome is not None and outcome.state == "finished"

    def is_left(self, trial: Trial) -> bool:
        """Tell whether the same command would run a trial, or log it, once more."""
        outcome = self.notes.read(trial)
        is_there = outcome is not None and outcome.is_there(self._parent)
        return not (is_there or self.is_used_up(trial))

    def is_used_up(self, trial: Trial) -> bool:
        """Tell whether a trial failed too often to be tried again."""
        outcome = self.notes.read(trial)
        if outcome is None or outcome.state != "failed":
            return False
        return outcome.failures >= self.request.sweep.attempts

    def failures(self, trial: Trial) -> int:
        """Return how often a trial has failed."""
        outcome = self.notes.read(trial)
        return outcome.failures if outcome is not None else 0
