"""The trials of a sweep: which settings each has, and what it is called."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loraflow.model.methods import neutral_settings
from loraflow.sweep.space import Dimension, Value, name_values

BASE, HEAD = "base model", "head only"  # the arms that no rank is trained in


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed, as it is to be run."""

    arm: str  # the configuration's name
    values: Mapping[str, Value]  # of dimensions, by key; a control has none
    sets: Mapping[str, Any]  # what differs from the experiment: dotted key or group -> value
    seed: int
    tuned: Mapping[str, Value]  # of the values, those that the search chose
    is_control: bool = False

    @property
    def name(self) -> str:
        """Return the name of the trial in Prefect, MLflow and reports."""
        return self.arm if self.arm == BASE else f"{self.arm} seed={self.seed}"


def control_trials(task: str, seeds: Sequence[int]) -> list[Trial]:
    """Return the arms of r = 0: the base model, and for a classifier its head alone."""
    base = Trial(BASE, {}, {"adapter": "none", "train.seed": seeds[0]}, seeds[0], {}, True)
    if task != "classify":
        return [base]
    return [
        base,
        *(
            Trial(HEAD, {}, {"adapter": "head_only", "train.seed": seed}, seed, {}, True)
            for seed in seeds
        ),
    ]


def arm_trials(
    dimensions: Sequence[Dimension],
    compared: Mapping[str, Value],
    tuned: Mapping[str, Value],
    seeds: Sequence[int],
) -> Iterator[Trial]:
    """Yield one configuration with each seed."""
    values = {**compared, **tuned}
    sets: dict[str, Any] = {}
    for dimension in dimensions:
        if dimension.key in values:
            sets |= dimension.choice(values[dimension.key]).sets
    name = name_values(values, dimensions) or "tuned"
    for seed in seeds:
        yield Trial(name, values, {**sets, "train.seed": seed}, seed, tuned)


def without_unread(settings: Mapping[str, Any], sets: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's composed config without what others set and its own method does not read.

    An experiment's dropout is for the arms that have one. What the trial itself sets stays, and so
    does all of a trial with the experiment's own method: there it is a fault.
    """
    if not {"adapter", "adapter.method"} & set(sets):
        return dict(settings)
    neutral = neutral_settings(settings["adapter"]["method"])
    unread = {
        section: {
            key: value
            for key, value in keys.items()
            if not any(f"{one}.".startswith(f"{section}.{key}.") for one in sets)
        }
        for section, keys in neutral.items()
    }
    earlier = {
        name: {**part, "train": {**part["train"], **unread["train"]}}
        for name, part in settings["before"].items()
    }
    changed = {section: {**settings[section], **unread[section]} for section in unread}
    return {**settings, **changed, "before": earlier}
