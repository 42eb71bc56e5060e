"""The command line of a sweep: commas make dimensions, and every trial is composed by Hydra."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
)

from flows.command import CONF, explained, read_command, readable, to_settings
from loraflow.errors import UserError
from loraflow.sweep.request import Request, make_request

_OWN = ("sweep", "runner")  # sections that an experiment does not have


def command_words() -> list[str] | None:
    """Return the words of the command line; None if they ask for no sweep, as --help does."""
    words = [readable(word) for word in sys.argv[1:]]
    if any(word.startswith("-") for word in words):
        sys.argv[1:] = [word for word in words if not _is_dimension(word)]
        if not read_command("sweep"):
            return None
    return [word for word in words if not word.startswith("-")]


def read_request(words: Sequence[str]) -> Request:
    """Return the sweep that `words` ask for.

    `key=1,2` makes a dimension of any key, or gives one of the sweep its values; `key=1` of a
    dimension leaves it this value.

    Raises:
        UserError: names the key, or the trial, its fault and the fix.
    """
    plain = [word for word in words if not _is_dimension(word)]
    dimensions = {
        one.key_or_group: _dimension(one)
        for word in words
        if _is_dimension(word) and (one := _parse(word))
    }
    with explained(), initialize_config_dir(str(CONF), version_base="1.3"):
        composed = to_settings(compose("sweep", overrides=plain))
    given = _Words(plain)
    sections = {name: dict(composed[name]) for name in _OWN}
    sections["sweep"] = _with_dimensions(sections["sweep"], given, dimensions)
    return make_request(sections, _Composer(given, sections["sweep"].get("set") or {}))


def _is_dimension(word: str) -> bool:
    override = None if word.startswith("-") else _parse(word)
    return override is not None and bool(override.is_sweep_override())


def _with_dimensions(
    sweep: dict[str, Any], words: "_Words", dimensions: Mapping[str, Any]
) -> dict[str, Any]:
    """Put what the command line says of dimensions in place of the file's."""
    search = dict(sweep.get("search") or {})
    space, tune = dict(sweep.get("space") or {}), dict(search.get("tune") or {})
    fixed = {
        key: [_plain(value)] for key, value in words.values.items() if key in {**space, **tune}
    }
    for key, values in {**fixed, **dimensions}.items():
        home = tune if key in tune or isinstance(values, dict) else space
        home[key] = values
    return {**sweep, "space": space, "search": {**search, "tune": tune}}


class _Words:
    """Words of the command line that are overrides, by the key that each sets."""

    def __init__(self, words: Sequence[str]) -> None:
        self._overrides = {one.key_or_group: one for word in words if (one := _parse(word))}

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
            if key.partition(".")[0] not in _OWN and not key.startswith("hydra")
        }


class _Composer:
    """Composes a trial: the sweep's own keys, then the command line's, then the trial's."""

    def __init__(self, words: _Words, common: Mapping[str, Any]) -> None:
        given = words.of_experiment
        self._lines = {key: _line(key, value) for key, value in common.items() if key not in given}
        self._lines |= given

    def __call__(self, sets: Mapping[str, Any]) -> Mapping[str, Any]:
        lines = {**self._lines, **{key: _line(key, value) for key, value in sets.items()}}
        with explained(), initialize_config_dir(str(CONF), version_base="1.3"):
            return to_settings(compose("config", overrides=list(lines.values())))


def _parse(word: str) -> Override | None:
    """Return an override; None for a flag."""
    if "=" not in word and not word.startswith("~"):
        return None
    with explained():
        return OverridesParser.create().parse_override(word)


def _dimension(override: Override) -> Any:
    """Return the values of a dimension, as `sweep.space` and `sweep.search.tune` have them."""
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):
        return [_plain(value) for value in sweep.list]
    if isinstance(sweep, RangeSweep):
        return [_plain(value) for value in sweep.range()]
    if isinstance(sweep, IntervalSweep):
        return {"low": sweep.start, "high": sweep.end, "log": "log" in sweep.tags}
    raise UserError(
        f"{override.input_line} is no dimension that a sweep knows; write the values: KEY=1,2,4"
    )


def _plain(value: Any) -> Any:
    """Take the quotes off that Hydra's grammar keeps."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value


def _line(key: str, value: Any) -> str:
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
