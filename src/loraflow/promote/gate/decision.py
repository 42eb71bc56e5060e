"""A decision of the gate and all it was made of: plain values, the same before and behind JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from pydantic import TypeAdapter

from loraflow.compare.metrics import Item
from loraflow.compare.statistics import Difference, Interval

BASE_MODEL = "base model"  # what the first challenger is compared with


@dataclass(frozen=True)
class ArmEvidence:
    """What one model made of the gate set and of the probes."""

    items: tuple[Item, ...]  # numbers of each gate row; texts are left out, but for labels
    probes: tuple[Item, ...] | None  # id, kind, choice_correct; None: none were asked
    settings: Mapping[str, Any]  # train.task, and how answers were asked for


@dataclass(frozen=True)
class JudgeEvidence:
    """What the card of the judge says."""

    name: str
    trusted: bool
    own: bool  # the judge is the base model
    same_card: bool  # that both arms were rated by the judge of this card


@dataclass(frozen=True)
class LeakEvidence:
    """Training rows that give gate rows away."""

    action: str  # data.leak.action
    found: int  # by the leak check, before it removed any
    left: int  # among the training rows, counted anew


@dataclass(frozen=True)
class GateEvidence:
    """The gate set as it was frozen, and the held-out rows of tonight."""

    frozen: str  # SHA-256 of what its rows are
    found: str  # that of tonight's held-out rows
    rows: int  # held out tonight


@dataclass(frozen=True)
class Evidence:
    """All that a decision depends on, but for the gate's own settings."""

    reference: str  # who is challenged: "version 3", or BASE_MODEL
    champion: ArmEvidence
    challenger: ArmEvidence
    judge: JudgeEvidence | None  # None: nobody rated the answers
    leak: LeakEvidence
    gate: GateEvidence

    @property
    def task(self) -> str:
        """Return train.task of the challenger."""
        return str(self.challenger.settings["task"])

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` returned."""
        return TypeAdapter(cls).validate_python(values)


@dataclass(frozen=True)
class Guard:
    """Something on which a challenger must not be worse, or that makes a comparison valid."""

    name: str
    passed: bool
    words: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """Whether the challenger takes the champion's place, and why."""

    promote: bool
    metric: str
    margin: float
    items: int  # that were compared
    gate: str  # SHA-256 of the gate set
    champion: Interval
    challenger: Interval
    difference: Difference  # challenger minus champion, signed so that above 0 is better
    reference: str
    guards: tuple[Guard, ...]
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; what is not a number (there was nothing to compare) is None."""
        found: dict[str, Any] = _without_nan(asdict(self))
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` returned."""
        numbers = {name: _with_nan(values[name]) for name in _NUMBERS}
        return TypeAdapter(cls).validate_python({**values, **numbers})


_NUMBERS = ("champion", "challenger", "difference")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_nan(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if number is None else number for name, number in numbers.items()}
