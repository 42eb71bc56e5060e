"""Rounds of successive halving: all arms at once, so that no worker waits for one of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from flows.dispatch import HERE, Dispatch
from flows.trial import Order
from loraflow.check import load_config
from loraflow.sweep.arm import Arm, Proposal
from loraflow.sweep.halving import Standings, next_round, verdict
from loraflow.sweep.trials import Trial


def halve(batch: Sequence[Proposal], dispatch: Dispatch) -> None:
    """Train configurations with their first seed: of each arm one to its end, the others in part.

    What comes next follows from the notes alone, so a killed sweep goes on where it was.
    """
    arms = [_Rounds(arm, batch, dispatch) for arm in dict.fromkeys(one.arm for one in batch)]
    gone = [Order(trial) for arm in arms for trial in arm.gone()]
    dispatch.run(gone, dispatch.request.runner)
    while orders := [order for arm in arms for order in arm.next()]:
        dispatch.run(orders, dispatch.request.runner)
    lost = [Order(trial) for arm in arms for trial in arm.prune()]
    dispatch.run(lost, HERE)  # nothing is left to do: each shows as `Pruned`


class _Rounds:
    """The rounds of one arm."""

    def __init__(self, arm: Arm, batch: Sequence[Proposal], dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._trials = {one.name: one for one in map(self._first_seed, arm.known())}
        proposed = {self._first_seed(one).name for one in batch if one.arm is arm}
        # of what is tried again; whatever else failed is out
        self._failures = {
            name: dispatch.failures(trial) if name in proposed else -1
            for name, trial in self._trials.items()
        }
        self._first_look = max(map(self._look_of, self._trials.values()))

    def gone(self) -> list[Trial]:
        """Return what had won its rounds and is not there any more: it is made again, unasked."""
        trials = self._trials.values()
        return [
            one for one in trials if self._dispatch.is_finished(one) and self._dispatch.is_left(one)
        ]

    def next(self) -> Iterator[Order]:
        """Yield what is to train now, and how far."""
        for name, pause_at in next_round(self._standings(), self._first_look).items():
            yield Order(self._trials[name], pause_at=pause_at)

    def prune(self) -> Iterator[Trial]:
        """Note what waits and will not go on, and yield it."""
        standings = self._standings()
        for name, outcome in standings.items():
            if outcome is not None and outcome.state == "paused":
                pruned = replace(outcome, state="pruned", reason=verdict(standings, name))
                self._dispatch.notes.write(self._trials[name], pruned)
                yield self._trials[name]

    def _standings(self) -> Standings:
        return {
            name: self._dispatch.standing(trial, self._failures[name])
            for name, trial in self._trials.items()
        }

    def _first_seed(self, one: Proposal) -> Trial:
        return self._dispatch.request.trials(one.arm.compared, one.tuned)[0]

    def _look_of(self, trial: Trial) -> int:
        """Return the steps between looks at the rows apart, which a tuned arm has."""
        stopping = load_config(self._dispatch.settings_of(trial)).train.early_stopping
        return stopping.steps if stopping else 1
