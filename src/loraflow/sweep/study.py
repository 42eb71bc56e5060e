"""The search inside one arm: Optuna proposes what is tuned, and learns from how it went.

Every arm has a study of its own, so that each gets the same number of configurations, and none is
pruned because another arm is better: the comparison needs all of them.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import HyperbandPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from loraflow.config import SearchConfig
from loraflow.errors import UserError
from loraflow.lock import locked
from loraflow.sweep.halving import REDUCTION
from loraflow.sweep.space import Dimension, Range, Value, combinations

_BRACKETS = 3  # of Hyperband: the first rung is at the first look, the third or the ninth
_STARTUP = 4  # configurations drawn at random before TPE has something to learn from
# of an address, a driver, a file, a server, and of a database that another Optuna made
_FAULTS = (ValueError, ImportError, OSError, SQLAlchemyError, RuntimeError)


@dataclass(frozen=True)
class Configuration:
    """What Optuna proposes: values by dimension, under the number of its trial."""

    number: int
    values: Mapping[str, Value]
    is_told: bool = False  # how it ended


class Search:
    """The study of one arm."""

    def __init__(self, config: SearchConfig, tuned: Sequence[Dimension], *, name: str) -> None:
        """Open the study `name`, or go on with it."""
        self.config = config
        self.name = name
        self._distributions = {one.key: _distribution(one) for one in tuned}
        self._study = open_study(config, name)
        if config.sampler == "grid":
            for values in combinations(tuned):
                self._study.enqueue_trial(dict(values), skip_if_exists=True)

    def known(self) -> list[Configuration]:
        """Return all configurations so far, those of earlier calls of the command first."""
        trials = self._study.get_trials(deepcopy=False)
        return [
            Configuration(trial.number, self._values_of(trial), trial.state.is_finished())
            for trial in trials
            if trial.state != TrialState.WAITING
        ]

    def propose(self, most: int) -> list[Configuration]:
        """Return at most so many new configurations; none when the budget is spent.

        TPE's first ones come at once: drawn at random, they have nothing to wait for.
        """
        if self.config.sampler == "tpe":
            most = max(most, _STARTUP - len(self._study.get_trials(deepcopy=False)))
        return [self._ask() for _ in itertools.takewhile(self._has_more, range(most))]

    def tell(self, number: int, values: Sequence[float] | None, state: str = "finished") -> None:
        """Note how a configuration ended; `values` are its objectives."""
        states = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        if state in states:
            self._study.tell(number, state=states[state])
        else:
            self._study.tell(number, values)

    def report(self, number: int, losses: Sequence[tuple[int, float]]) -> None:
        """Tell a configuration's losses by step: TPE learns from them also where it is pruned."""
        trial, told = open_trial(self._study, number)
        for step, loss in losses:
            if step not in told:
                trial.report(loss, step)

    def _has_more(self, _: int) -> bool:
        if self._study.get_trials(states=[TrialState.WAITING]):
            return True
        if self.config.sampler == "grid":
            return False
        # what fails counts too: an arm that cannot be trained comes to an end
        return len(self._study.get_trials(deepcopy=False)) < (self.config.trials or 0)

    def _ask(self) -> Configuration:
        trial = self._study.ask(self._distributions)
        return Configuration(trial.number, trial.params)

    def _values_of(self, frozen: FrozenTrial) -> Mapping[str, Value]:
        """Return the values of a trial, those drawn now that a kill kept Optuna from drawing."""
        if frozen.params.keys() == self._distributions.keys():
            return frozen.params
        trial, _ = open_trial(self._study, frozen.number)
        return {name: trial._suggest(name, one) for name, one in self._distributions.items()}


def open_study(config: SearchConfig, name: str) -> optuna.Study:
    """Return the study `name` of the config's storage, made at first use.

    Raises:
        UserError: if the storage cannot be opened.
    """
    study = optuna.create_study(
        storage=open_storage(config),
        study_name=name,
        directions=["minimize"] * len(config.objectives),
        load_if_exists=True,
    )
    # a sampler that starts anew when the sweep goes on must not draw the same numbers again
    study.sampler = _sampler(config, config.seed + len(study.get_trials(deepcopy=False)))
    return study


def open_storage(config: SearchConfig) -> RDBStorage:
    """Return the database of the search, made at first use.

    Raises:
        UserError: if it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = config.storage.removeprefix("sqlite:///")
    folder = Path("mlruns") if file == config.storage else Path(file).parent
    try:
        with locked(folder / ".sweeps.lock"):  # two first uses at once break the tables
            return RDBStorage(config.storage)
    except _FAULTS as error:
        raise UserError(
            f"sweep.search.storage={config.storage} cannot be opened: "
            f"{str(error).partition(chr(10))[0]}; set it to sqlite:///FILE, or to "
            "postgresql://HOST/DATABASE (.venv/bin/pip install 'loraflow[postgres]')"
        ) from error


def open_trial(study: optuna.Study, number: int) -> tuple[Trial, set[int]]:
    """Return a trial that was asked for, whoever did so, and the steps that it has told of."""
    frozen = study.get_trials(deepcopy=False)[number]
    # Optuna has no other way in another process
    return Trial(study, frozen._trial_id), set(frozen.intermediate_values)


def hyperband(first_look: int) -> HyperbandPruner:
    """Return what prunes trials that are looked at every `first_look` steps.

    Left to itself, Optuna takes its rungs from complete trials and prunes nothing until there is
    one; a configuration is complete with its last seed, behind the first seeds of its whole batch.
    """
    return HyperbandPruner(first_look, first_look * REDUCTION ** (_BRACKETS - 1), REDUCTION)


def _sampler(config: SearchConfig, seed: int) -> BaseSampler:
    if config.sampler == "tpe":
        return TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True)
    return RandomSampler(seed=seed)


def _distribution(dimension: Dimension) -> BaseDistribution:
    choices = dimension.choices
    if not isinstance(choices, Range):
        return CategoricalDistribution([choice.value for choice in choices])
    if choices.is_whole:
        return IntDistribution(int(choices.low), int(choices.high), log=choices.log)
    return FloatDistribution(choices.low, choices.high, log=choices.log)
