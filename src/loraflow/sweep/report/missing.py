"""Which arms are missing from the comparison although all of their trials have ended."""

from collections.abc import Mapping, Sequence

from loraflow.sweep.report.charts.lines import RANK, as_number, name_value
from loraflow.sweep.report.content import Arm, RankPage, Trial, Value

Place = tuple[Value, ...]
"""Values of all compared dimensions; of a control its name alone."""


def missing_arms(page: RankPage) -> dict[str, Sequence[Trial]]:
    """Return the trials of each arm that ended without a number, by the arm's name.

    What waits is not missing: the same command goes on with it.
    """
    ended: dict[Place, list[Trial]] = {}
    for trial in page.trials:
        ended.setdefault(_place(page, trial.arm, trial.values), []).append(trial)
    there = {_place(page, arm.name, arm.values) for arm in page.arms}
    return {
        _name(page, trials[0]): trials
        for place, trials in ended.items()
        if place not in there and not any(trial.state == "waiting" for trial in trials)
    }


def is_smaller(page: RankPage, trials: Sequence[Trial], than: Arm) -> bool:
    """Tell whether a missing arm is known to train fewer parameters than one that is there.

    It is by what a trial has counted, or where an arm of a larger r, all else alike, is no larger.
    """
    sizes = [trial.cost.trainable_parameters for trial in trials if trial.cost is not None]
    values = trials[0].values
    larger = [
        arm.trainable_parameters
        for arm in page.arms
        if arm.values and values and _is_same_but_larger(page, arm.values, values)
    ]
    return any(size < than.trainable_parameters for size in sizes) or any(
        size <= than.trainable_parameters for size in larger
    )


def _place(page: RankPage, name: str, values: Mapping[str, Value]) -> Place:
    compared = [one.name for one in page.dimensions if one.is_compared]
    return tuple(values.get(one) for one in compared) if values else (name,)


def _name(page: RankPage, trial: Trial) -> str:
    """Return the name of an arm; where something is tuned, a trial's has more in it."""
    compared = [one for one in page.dimensions if one.is_compared and one.name in trial.values]
    if len(compared) == len(trial.values):
        return trial.arm
    return " ".join(name_value(one, trial.values[one.name]) for one in compared) or "every arm"


def _is_same_but_larger(
    page: RankPage, values: Mapping[str, Value], missing: Mapping[str, Value]
) -> bool:
    compared = [one for one in page.dimensions if one.is_compared]
    differing = [one for one in compared if values.get(one.name) != missing.get(one.name)]
    return [one.key for one in differing] == [RANK] and all(
        as_number(values.get(one.name)) > as_number(missing.get(one.name)) for one in differing
    )
