"""The course of a sweep: controls first, then every arm's configurations, round by round."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from flows.dispatch import HERE, Dispatch
from flows.halving import halve
from flows.trial import Order
from loraflow.check import dump_config, load_config
from loraflow.errors import UserError
from loraflow.model.source import find_base
from loraflow.plan.experiment import Plan, make_plan
from loraflow.store import Key, Store, make_key
from loraflow.sweep.arm import Arm, Proposal
from loraflow.sweep.outcome import Notes, Outcome
from loraflow.sweep.request import Request
from loraflow.sweep.space import Value, combinations, name_values
from loraflow.sweep.trials import Trial

_ALL = 1_000_000
_CHOOSING = ("tune", "sampler", "objectives")  # keys of sweep.search that choose other trials


class Course:
    """Runs what is left of a sweep."""

    def __init__(self, request: Request) -> None:
        """Take a checked sweep; start nothing yet."""
        self.request = request
        self.store = Store(request.config.store)
        self.trials: list[Trial] = []  # all that belong to the sweep, as far as it is known
        self.chosen: set[str] = set()  # names of the arms that are compared

    @property
    def plan(self) -> Plan:
        """Return the plan of the base model's arm: what all trials share."""
        return self._plans[0]

    @cached_property
    def key(self) -> Key:
        """Name the sweep by all that its trials follow from: the same command goes on with it.

        That is what the trials are made of, whatever named it: files of conf/, the command line,
        rows of data, code.
        """
        sweep, search = self.request.sweep, self.request.sweep.search
        return make_key(
            "sweep",
            2,
            reads=[plan.experiment for plan in self._plans],
            space=sweep.space,
            seeds=sweep.seeds,
            search={name: getattr(search, name) for name in _CHOOSING},
        )

    @cached_property
    def _plans(self) -> list[Plan]:
        """Return the plan of every trial that can be named before the sweep starts."""
        find = cache(find_base)  # a base is hashed once, however many arms stand on it
        plans = []
        for trial in [*self.request.controls(), *self.request.samples()]:
            config = load_config(self.request.settings_of(trial))
            base, other = find(config.model, config.quantization), config.judge.model
            judge = None if other is None else find(other, config.quantization)
            plans.append(make_plan(config, base, judge))
        return plans

    def settings(self) -> dict[str, Any]:
        """Return what is logged of the sweep as a whole."""
        request = self.request
        own = asdict(request.sweep)
        own["compare"] = {"metric": request.metric, "margin": request.margin}
        return {**dump_config(request.config), "sweep": own, "runner": asdict(request.runner)}

    @property
    def folder(self) -> Path:
        """Return where the sweep keeps its notes and its report."""
        return self.store.root / "sweep" / self.key.digest[:20]

    @cached_property
    def notes(self) -> Notes:
        """Return what became of the trials."""
        return Notes(self.folder / "trials")

    def run(self, parent: str) -> None:
        """Run all trials that have not ended, nested below the MLflow run `parent`."""
        self._dispatch = Dispatch(self.request, self.notes, parent)
        controls = self.request.controls()
        self._add(controls)
        # here: they make what all other trials share
        self._dispatch.run([Order(trial) for trial in controls], HERE)
        arms = [self._arm(compared) for compared in combinations(self.request.compared)]
        batch = [proposal for arm in arms for proposal in arm.resume(self._may_retry)]
        while batch := batch or [one for arm in arms for one in arm.propose(self._at_once(arms))]:
            self._run_batch(batch)
            batch = []
        self.chosen = {trial.arm for trial in controls} | {
            self.request.trials(arm.compared, tuned)[0].arm
            for arm in arms
            for tuned in arm.chosen()
        }

    def add_known_trials(self) -> None:
        """List the trials that can be named without a search, as for a look at their outcomes."""
        for compared in combinations(self.request.compared):
            self._add([*self.request.controls(), *self.request.trials(compared, {})])

    def outcomes(self) -> dict[str, Outcome]:
        """Return how trials ended, by name; one that is not in it has not run."""
        found = {trial.name: self.notes.read(trial) for trial in self.trials}
        return {name: outcome for name, outcome in found.items() if outcome is not None}

    def require_success(self) -> None:
        """Say which trials failed, and what to do.

        Raises:
            UserError: if one has.
        """
        failed = [one for one in self.outcomes().values() if one.state == "failed"]
        if not failed:
            return
        most = self.request.sweep.attempts
        left = [outcome for outcome in failed if outcome.failures < most]
        fix = (
            f"mend what they name and start the command again: {len(left)} of them are tried again "
            f"(sweep.attempts={most})"
            if left
            else f"they have used up sweep.attempts={most}; mend what they name and raise it"
        )
        reasons = "\n".join(f"  {one.trial}: {one.reason}" for one in failed)
        raise UserError(f"{len(failed)} of {len(self.trials)} trials failed; {fix}\n{reasons}")

    def _arm(self, compared: Mapping[str, Value]) -> Arm:
        tuned = self.request.tuned
        if not tuned:
            return Arm(compared)
        from loraflow.sweep.study import Search

        name = name_values(compared, self.request.compared) or "all"
        search = Search(self.request.sweep.search, tuned, name=f"{self.key.digest[:20]} {name}")
        arm = Arm(compared, search)
        for values in arm.past():
            self._add(self.request.trials(compared, values))
        return arm

    def _may_retry(self, arm: Arm, tuned: Mapping[str, Value]) -> bool:
        return not any(map(self._dispatch.is_used_up, self.request.trials(arm.compared, tuned)))

    def _at_once(self, arms: Sequence[Arm]) -> int:
        """Return how many configurations of an arm are proposed before any of them is known.

        Only TPE learns from those before; it waits as little as keeps all workers busy.
        """
        if self.request.sweep.search.sampler != "tpe":
            return _ALL
        trials = len(arms) * len(self.request.sweep.seeds)
        return max(1, math.ceil(self.request.runner.workers / trials))

    def _run_batch(self, batch: Sequence[Proposal]) -> None:
        """Run configurations with all seeds; where the first may be pruned, the others wait."""
        trials = [self.request.trials(one.arm.compared, one.tuned) for one in batch]
        for repeats in trials:
            self._add(repeats)
        trials_left = trials
        if self.request.sweep.search.pruning is not None:
            self._run_first_seeds(batch)
            finished = self._dispatch.is_finished
            trials_left = [repeats[1:] for repeats in trials if finished(repeats[0])]
        others = [Order(trial) for repeats in trials_left for trial in repeats]
        self._dispatch.run(others, self.request.runner)
        for repeats, one in zip(trials, batch, strict=True):
            one.arm.tell(one, [found for trial in repeats if (found := self.notes.read(trial))])

    def _run_first_seeds(self, batch: Sequence[Proposal]) -> None:
        if self.request.sweep.search.pruning == "halving":
            halve(batch, self._dispatch)
            return
        firsts = [self.request.trials(one.arm.compared, one.tuned)[0] for one in batch]
        orders = [Order(trial, one.pruning) for trial, one in zip(firsts, batch, strict=True)]
        self._dispatch.run(orders, self.request.runner)

    def _add(self, trials: Sequence[Trial]) -> None:
        known = {trial.name for trial in self.trials}
        self.trials += [trial for trial in trials if trial.name not in known]
