"""How much of the variation between trials each dimension explains."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from loraflow.sweep.space import Value

_FEWEST = 4  # trials; from fewer a forest learns nothing


def importances(
    trials: Sequence[tuple[Mapping[str, Value], float]], *, seed: int = 0
) -> dict[str, float]:
    """Return the share of each dimension by fANOVA (Hutter et al. 2014), largest first.

    `trials` are values by dimension and the score. Empty where it cannot be told: few trials, one
    dimension, or scores that are all the same.
    """
    names = sorted({name for values, _ in trials for name in values})
    varied = [name for name in names if len({values.get(name) for values, _ in trials}) > 1]
    if len(trials) < _FEWEST or len(varied) < 2 or len({score for _, score in trials}) == 1:  # noqa: PLR2004
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution([values[name] for values, _ in trials]) for name in varied}
    study = optuna.create_study()
    for values, score in trials:
        study.add_trial(
            optuna.trial.create_trial(
                params={name: _param(values[name], distributions[name]) for name in varied},
                distributions=distributions,
                value=score,
            )
        )
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))


def _distribution(values: Sequence[Value]) -> BaseDistribution:
    numbers = [value for value in values if _is_number(value)]
    if len(numbers) == len(values):
        return FloatDistribution(min(numbers), max(numbers), log=min(numbers) > 0)  # type: ignore[type-var,arg-type,operator]
    return CategoricalDistribution(list(dict.fromkeys(map(str, values))))


def _param(value: Value, distribution: BaseDistribution) -> Any:
    is_float = isinstance(distribution, FloatDistribution)
    return float(value) if is_float and value is not None else str(value)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
