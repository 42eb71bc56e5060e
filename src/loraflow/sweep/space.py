"""What varies in a sweep: dimensions, their choices, and every combination of them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loraflow.errors import UserError

Value = str | float | int | bool | None
"""Of a dimension; numbers have an order and distances, all else are names."""

_RANGE = {"low", "high", "log"}


@dataclass(frozen=True)
class Choice:
    """One value of a dimension, and the keys that it sets."""

    value: Value  # as it is shown and compared
    sets: Mapping[str, Any]  # dotted key, or group -> value


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, from which a sampler draws."""

    low: float
    high: float
    log: bool

    @property
    def is_whole(self) -> bool:
        """Tell whether whole numbers are meant."""
        return all(isinstance(end, int) for end in (self.low, self.high))


@dataclass(frozen=True)
class Dimension:
    """Something that varies."""

    key: str  # a dotted key, a group, or a name of one's own
    choices: tuple[Choice, ...] | Range

    def keys(self) -> set[str]:
        """Return the keys that it sets."""
        if isinstance(self.choices, Range):
            return {self.key}
        return {key for choice in self.choices for key in choice.sets}

    def choice(self, value: Value) -> Choice:
        """Return the choice that is shown as `value`, or the number `value` of a range."""
        if isinstance(self.choices, Range):
            return Choice(value, {self.key: value})
        return next(choice for choice in self.choices if choice.value == value)


def read_dimensions(space: Mapping[str, Any], where: str) -> list[Dimension]:
    """Return the dimensions of `sweep.space` or `sweep.search.tune`, named `where` in errors.

    A dimension is a list of values, a mapping from names to the keys that each sets, or a range
    {low:, high:, log:}.

    Raises:
        UserError: names the dimension that is none of these.
    """
    return [_read(key, given, f"{where}.{key}") for key, given in space.items()]


def combinations(dimensions: Sequence[Dimension]) -> Iterator[dict[str, Value]]:
    """Yield every combination of values, by key; the last dimension varies fastest."""
    values = [
        [choice.value for choice in dimension.choices]
        for dimension in dimensions
        if not isinstance(dimension.choices, Range)
    ]
    for combination in itertools.product(*values):
        yield {
            dimension.key: value for dimension, value in zip(dimensions, combination, strict=True)
        }


def short_names(dimensions: Sequence[Dimension]) -> dict[str, str]:
    """Return what each key is called: its last part, or the whole key where two share one."""
    lasts = [one.key.rpartition(".")[2] for one in dimensions]
    return {
        one.key: last if lasts.count(last) == 1 else one.key
        for one, last in zip(dimensions, lasts, strict=True)
    }


def named(values: Mapping[str, Value], dimensions: Sequence[Dimension]) -> dict[str, Value]:
    """Return values, given by key, under their short names."""
    names = short_names(dimensions)
    return {name: values[key] for key, name in names.items() if key in values}


def name_values(values: Mapping[str, Value], dimensions: Sequence[Dimension]) -> str:
    """Name a combination: "r=4 attention_qv"; words stand alone, numbers behind their name."""
    return " ".join(
        value if isinstance(value, str) else f"{name}={_short(value)}"
        for name, value in named(values, dimensions).items()
    )


def _short(value: Value) -> str:
    """Write a number short, yet so that two that a sampler draws do not look the same."""
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _read(key: str, given: Any, where: str) -> Dimension:
    if isinstance(given, Mapping) and given and set(given) <= _RANGE:
        return Dimension(key, _range(given, where))
    if isinstance(given, Mapping):
        choices = [_named(name, sets, where) for name, sets in given.items()]
    else:
        values = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        choices = [Choice(_shown(value), {key: value}) for value in values]
    if not choices:
        raise UserError(f"{where} is empty; give it values, as in {where}: [1, 2]")
    shown = [choice.value for choice in choices]
    if len(set(shown)) < len(shown):
        raise UserError(f"{where}={given} has a value twice; drop one")
    return Dimension(key, tuple(choices))


def _range(given: Mapping[str, Any], where: str) -> Range:
    low, high, log = given.get("low"), given.get("high"), given.get("log", False)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not isinstance(log, bool):
        raise UserError(f"{where}={dict(given)} is no range; write {{low: 1e-4, high: 1e-3}}")
    if not low < high or (log and low <= 0):  # type: ignore[operator]  # numbers, just checked
        raise UserError(
            f"{where}={dict(given)} has no numbers inside; low must be below high, and above 0 "
            "with log: true"
        )
    return Range(low, high, log)  # type: ignore[arg-type]


def _named(name: str, sets: Any, where: str) -> Choice:
    if not isinstance(sets, Mapping) or not sets:
        raise UserError(
            f"{where}.{name}={sets!r} sets nothing; a named choice is a mapping of keys, as in "
            f"{name}: {{adapter.alpha_mode: fixed, adapter.alpha: 16}}"
        )
    return Choice(name, dict(sets))


def _shown(value: Any) -> Value:
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Sequence):
        return "+".join(str(_shown(part)) for part in value)
    return str(value)
