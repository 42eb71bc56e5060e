"""A sweep as it is asked for: checked, with the settings of every trial that is known before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.dataclasses import dataclass as checked

from loraflow.check import load_config, load_sections
from loraflow.config import Config, RunnerConfig, SweepConfig
from loraflow.config.values import STRICT
from loraflow.errors import UserError
from loraflow.sweep.metric import margin_of, require_measured, usual_metric
from loraflow.sweep.rules import runner_faults, search_faults
from loraflow.sweep.space import Dimension, Range, combinations, read_dimensions
from loraflow.sweep.trials import Trial, arm_trials, control_trials, without_unread

Settings = Mapping[str, Any]
Compose = Callable[[Mapping[str, Any]], Settings]
"""Takes what a trial sets (dotted keys and groups) and returns the composed config."""


@checked(frozen=True, config=STRICT)
class Sections:
    """What a sweep has beside the experiment's own sections."""

    sweep: SweepConfig
    runner: RunnerConfig


@dataclass(frozen=True)
class Request:
    """A sweep, checked."""

    sweep: SweepConfig
    runner: RunnerConfig
    config: Config  # of the base model's arm: what all trials share
    compared: Sequence[Dimension]
    tuned: Sequence[Dimension]
    compose: Compose
    metric: str
    margin: float

    @property
    def dimensions(self) -> list[Dimension]:
        """Return all dimensions, those that are compared first."""
        return [*self.compared, *self.tuned]

    def controls(self) -> list[Trial]:
        """Return the trials in which no rank is trained."""
        return control_trials(self.config.train.task, self.sweep.seeds)

    def trials(self, compared: Mapping[str, Any], tuned: Mapping[str, Any]) -> list[Trial]:
        """Return one configuration with every seed."""
        return list(arm_trials(self.dimensions, compared, tuned, self.sweep.seeds))

    def samples(self) -> list[Trial]:
        """Return trials that have every choice among them, each with the first seed.

        That is every arm at one corner of what is tuned, and the first arm at every other choice.
        """
        corner = {one.key: _first(one) for one in self.tuned}
        arms = list(combinations(self.compared))
        others = [
            {**corner, one.key: choice.value}
            for one in self.tuned
            if not isinstance(one.choices, Range)
            for choice in one.choices[1:]
        ]
        points = [*((arm, corner) for arm in arms), *((arms[0], tuned) for tuned in others)]
        return [self.trials(compared, tuned)[0] for compared, tuned in points]

    def settings_of(self, trial: Trial) -> Settings:
        """Return the whole config of a trial.

        Raises:
            UserError: names the trial and every fault of its config.
        """
        settings = without_unread(self.compose(trial.sets), trial.sets)
        try:
            load_config(settings)
        except UserError as error:
            raise UserError(f"trial {trial.name}: {error}") from error
        return settings


def make_request(sections: Settings, compose: Compose) -> Request:
    """Check a sweep and every trial that can be named before it starts.

    Raises:
        UserError: names the key, or the trial, its fault and the fix.
    """
    checked_sections = load_sections(Sections, sections)
    sweep = checked_sections.sweep
    base = control_trials("sft", sweep.seeds)[0]
    config = load_sections(Config, compose(base.sets))  # whole checks are its trials'
    metric = sweep.compare.metric or usual_metric(config.train.task)
    usual_margin = margin_of(metric, key="sweep.compare.metric")
    require_measured(metric, config)
    request = Request(
        sweep,
        checked_sections.runner,
        config,
        read_dimensions(sweep.space, "sweep.space"),
        read_dimensions(sweep.search.tune, "sweep.search.tune"),
        compose,
        metric,
        sweep.compare.margin or usual_margin,
    )
    searched = search_faults(sweep, request.compared, request.tuned)
    if faults := [*searched, *runner_faults(request.runner)]:
        raise UserError("\n".join(faults))
    for trial in [*request.controls(), *request.samples()]:
        _check_looks(request, load_config(request.settings_of(trial)))
    return request


def _first(dimension: Dimension) -> Any:
    choices = dimension.choices
    return choices.low if isinstance(choices, Range) else choices[0].value


def _check_looks(request: Request, config: Config) -> None:
    """What is tuned is chosen by the loss on rows apart: held-out rows are for the comparison."""
    if not request.tuned or config.adapter.method == "none":
        return
    if "loss" in request.sweep.search.objectives and config.train.early_stopping is None:
        raise UserError(
            "sweep.search.tune chooses by the loss on training rows apart, and there are none; set "
            "train.early_stopping='{rows: 50, steps: 5, patience: 1000}'"
        )
    if request.sweep.search.pruning == "halving" and config.train.accelerate:
        raise UserError(
            "sweep.search.pruning=halving lets trainings wait with a checkpoint, and sharded ones "
            f"(train.accelerate={dict(config.train.accelerate)}) have none; set it to hyperband"
        )
