"""Composes experiments out of overrides: of the command line, a sweep, a recommendation."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString

from flows.command import CONF, compose_settings, explained


class Words:
    """Words of the command line that are overrides, by the key that each sets."""

    def __init__(self, words: Sequence[str], *, own: Collection[str]) -> None:
        """Take words; `own` names the sections that an experiment does not have."""
        self._own = own
        self._overrides = {one.key_or_group: one for word in words if (one := parse_word(word))}

    @property
    def values(self) -> dict[str, Any]:
        """Return what the words set."""
        return {key: one.value() for key, one in self._overrides.items() if not one.is_delete()}

    @property
    def of_experiment(self) -> dict[str, str]:
        """Return the words that an experiment would understand too."""
        return {
            key: str(one.input_line)
            for key, one in self._overrides.items()
            if key.partition(".")[0] not in self._own and not key.startswith("hydra")
        }


class Composer:
    """Composes an experiment: common keys, then the command line's, then its own; each once."""

    def __init__(self, words: Words, common: Mapping[str, Any]) -> None:
        """Take the command line, and keys that it wins over."""
        given = words.of_experiment
        self._lines = {
            key: override_line(key, value) for key, value in common.items() if key not in given
        }
        self._lines |= given
        self._composed: dict[tuple[str, ...], Mapping[str, Any]] = {}

    def __call__(self, sets: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the composed config in which `sets`, dotted keys and groups, have their values."""
        lines = {**self._lines, **{key: override_line(key, value) for key, value in sets.items()}}
        words = tuple(lines.values())
        if words not in self._composed:  # it takes a good part of a second
            self._composed[words] = compose_settings("config", list(words))
        return self._composed[words]


def parse_word(word: str) -> Override | None:
    """Return an override; None for a flag."""
    if "=" not in word and not word.startswith("~"):
        return None
    with explained():
        return OverridesParser.create().parse_override(word)


def plain_value(value: Any) -> Any:
    """Take the quotes off that Hydra's grammar keeps."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [plain_value(part) for part in value]
    return value


def override_line(key: str, value: Any) -> str:
    """Return the override that sets a key, or chooses a file of a group."""
    if (CONF / key).is_dir() and isinstance(value, str):
        return f"{key}={value}"
    return f"++{key}={_text(value)}"


def _text(value: Any) -> str:
    """Return a value in Hydra's grammar."""
    if isinstance(value, str):
        return "'" + value.replace("'", r"\'") + "'"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}: {_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_text, value)) + "]"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    )
