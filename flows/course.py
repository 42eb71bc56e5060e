"""The course of a sweep: controls first, then every arm's configurations, round by round."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from flows.dispatch import HERE, Dispatch
from flows.halving import halve
from flows.trial import Order, forget_base
from loraflow.check import dump_config, load_config
from loraflow.errors import UserError
from loraflow.model.source import find_base
from loraflow.outbox import unlogged_trials
from loraflow.plan.experiment import Plan, make_plan
from loraflow.store import Key, Store, make_key
from loraflow.sweep.arm import Arm, Proposal
from loraflow.sweep.outcome import Notes, Outcome
from loraflow.sweep.request import Request
from loraflow.sweep.space import Value, combinations, name_values
from loraflow.sweep.trials import Trial

log = logging.getLogger("loraflow")

_ALL = 1_000_000
# keys of sweep.search that choose other trials
_CHOOSING = ("tune", "sampler", "objectives", "pruning")


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

    def require_storage(self) -> None:
        """Open the database of the search, if there is one, before anything is trained.

        Raises:
            UserError: if it cannot be opened.
        """
        if self.request.tuned:
            from loraflow.sweep.study import open_storage

            open_storage(self.request.sweep.search)

    def run(self, parent: str) -> None:
        """Run all trials that have not ended, nested below the MLflow run `parent`."""
        self._dispatch = Dispatch(self.request, self.notes, parent)
        controls = self.request.controls()
        # here: they make what all other trials share
        self._dispatch.run([Order(trial) for trial in controls], HERE)
        if self.request.runner.kind != "local":
            forget_base()  # each worker loads its own
        arms = [self._arm(compared) for compared in combinations(self.request.compared)]
        batch = [one for arm in arms for one in arm.known() if self._is_left(one)]
        while batch := batch + self._proposed(arms, batch):
            self._run_batch(batch)
            batch = []
        known = [trial for arm in arms for one in arm.known() for trial in self._due(one)]
        self.trials = list({trial.name: trial for trial in [*controls, *known]}.values())
        self.chosen = {trial.arm for trial in controls} | {
            self.request.trials(arm.compared, tuned)[0].arm
            for arm in arms
            for tuned in arm.chosen(self._finished)
        }

    def outcomes(self) -> dict[str, Outcome]:
        """Return how trials ended, by name; one that is not in it has not run."""
        found = {trial.name: self.notes.read(trial) for trial in self.trials}
        return {name: outcome for name, outcome in found.items() if outcome is not None}

    def warn_of_unlogged(self, parent: str) -> None:
        """Say how many trials are not whole in MLflow: to this command they are done."""
        if waiting := unlogged_trials(self.store.root, parent):
            log.warning("%d trials wait for make sync to log them to MLflow", len(waiting))

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
        return Arm(compared, search)

    def _proposed(self, arms: Sequence[Arm], left: Sequence[Proposal]) -> list[Proposal]:
        """Return what makes a batch of what is left: a kill may have cut one short."""
        most, begun = self._at_once(arms), Counter(one.arm for one in left)
        return [one for arm in arms for one in arm.propose(most - begun[arm])]

    def _at_once(self, arms: Sequence[Arm]) -> int:
        """Return how many configurations of an arm are proposed before any of them is known.

        Only TPE learns from those before; it waits as little as keeps all workers busy.
        """
        if self.request.sweep.search.sampler != "tpe":
            return _ALL
        trials = len(arms) * len(self.request.sweep.seeds)
        return max(1, math.ceil(self.request.runner.workers / trials))

    def _run_batch(self, batch: Sequence[Proposal]) -> None:
        """Run what is left of configurations, and tell the studies of those that have ended."""
        begun = 0  # of the trials of each
        if self.request.sweep.search.pruning is not None:
            self._run_first_seeds(batch)
            begun = 1
        left = [Order(trial) for one in batch for trial in self._due(one)[begun:]]
        self._dispatch.run(left, self.request.runner)
        for one in batch:
            trials = self._due(one)
            if not any(map(self._dispatch.is_left, trials)):
                one.arm.tell(one, [found for trial in trials if (found := self.notes.read(trial))])

    def _run_first_seeds(self, batch: Sequence[Proposal]) -> None:
        if self.request.sweep.search.pruning == "halving":
            halve(batch, self._dispatch)
            return
        orders = [Order(self._due(one)[0], one.pruning) for one in batch]
        self._dispatch.run(orders, self.request.runner)

    def _is_left(self, one: Proposal) -> bool:
        """Tell whether anything of a configuration is to be run or told, as the notes have it."""
        return not one.is_told or any(map(self._dispatch.is_left, self._due(one)))

    def _due(self, one: Proposal) -> list[Trial]:
        """Return the trials of a configuration, as far as the first lets them where it may lose."""
        repeats = self.request.trials(one.arm.compared, one.tuned)
        may_lose = self.request.sweep.search.pruning is not None
        return repeats[:1] if may_lose and not self._dispatch.is_finished(repeats[0]) else repeats

    def _finished(self, one: Proposal) -> list[Outcome]:
        found = map(self.notes.read, self._due(one))
        return [outcome for outcome in found if outcome and outcome.state == "finished"]
