"""Every guard by its name in `conf/gate/`, the faults of such a list, and what the guards find."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loraflow.errors import nearest
from loraflow.promote.gate.behaviour import answer_length, forgetting, old_tasks, refusals
from loraflow.promote.gate.decision import Evidence, Guard
from loraflow.promote.gate.integrity import Found, gate_set, judge, leak, same_items
from loraflow.promote.gate.pairs import CannotTell

Guards = Mapping[str, Mapping[str, Any] | None]
"""`gate.guards`: the parameters of each guard; None leaves it out."""


@dataclass(frozen=True)
class _Known:
    check: Callable[..., Found]
    required: bool = False  # without it no comparison is valid

    @property
    def parameters(self) -> list[str]:
        found = inspect.signature(self.check).parameters.values()
        return [one.name for one in found if one.kind is one.KEYWORD_ONLY]


GUARDS = {
    "same_items": _Known(same_items, required=True),
    "gate_set": _Known(gate_set, required=True),
    "leak": _Known(leak, required=True),
    "judge": _Known(judge, required=True),
    "forgetting": _Known(forgetting),
    "old_tasks": _Known(old_tasks),
    "refusals": _Known(refusals),
    "answer_length": _Known(answer_length),
}


def check_guards(guards: Guards, evidence: Evidence, metric: str) -> Iterator[Guard]:
    """Yield what each guard finds, in the order of the table; one that cannot tell fails."""
    for name, known in GUARDS.items():
        parameters = guards.get(name)
        if parameters is None:
            continue
        try:
            passed, words, values = known.check(evidence, metric, **parameters)
        except CannotTell as error:
            words = f"{error}; measure it, or set gate.guards.{name}=null"
            passed, values = False, dict[str, float]()
        yield Guard(name, passed, words, {one: float(value) for one, value in values.items()})


def guard_faults(guards: Guards) -> list[str]:
    """Return what is wrong with `gate.guards`: key, value and fix of every fault."""
    faults = []
    for name in guards:
        if name not in GUARDS:
            faults.append(
                f"gate.guards.{name} is no guard{nearest(name, list(GUARDS))}; choose from "
                f"{', '.join(GUARDS)}"
            )
    for name, known in GUARDS.items():
        parameters = guards.get(name)
        if parameters is not None:
            faults += _faults_of(name, known.parameters, parameters)
        elif known.required:
            faults.append(
                f"gate.guards.{name}=null: no comparison is valid without it; drop the null"
            )
    return faults


def _faults_of(name: str, known: list[str], parameters: Mapping[str, Any]) -> Iterator[str]:
    key = f"gate.guards.{name}"
    for parameter, value in parameters.items():
        if parameter not in known:
            yield (
                f"{key}.{parameter} is no parameter of {name}{nearest(parameter, known)}; it has "
                f"{', '.join(known) or 'none'}"
            )
        elif not _is_limit(value):
            yield f"{key}.{parameter}={value!r} must be a number of at least 0; set it to one"
    for parameter in known:
        if parameter not in parameters:
            yield f"{key}.{parameter} has no value; set {key}.{parameter}=NUMBER"


def _is_limit(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0  # type: ignore[arg-type, operator]
