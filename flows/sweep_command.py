"""The command line of a sweep: commas make dimensions, and every trial is composed by Hydra."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
)

from flows.command import compose_settings, read_command, readable
from flows.composing import Composer, Words, parse_word, plain_value
from loraflow.errors import UserError
from loraflow.sweep.request import Request, make_request

_OWN = ("sweep", "runner")  # sections that an experiment does not have
_WRITTEN = {  # beginning of a key of theirs -> what to write in place of KEY=1,2
    "sweep.seeds": "a list has brackets: sweep.seeds=[{values}]",
    "sweep.search.objectives": "a list has brackets: sweep.search.objectives=[{values}]",
    "sweep.search.tune.": "write '+sweep.search.tune={{{key}: [{values}]}}'",
    "sweep.space.": "write {key}={values}",
    "": "give it one value, and start the command once for each",
}


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
        _varied(one): _dimension(one)
        for word in words
        if _is_dimension(word) and (one := parse_word(word))
    }
    composed = compose_settings("sweep", plain)
    given = Words(plain, own=_OWN)
    sections = {name: dict(composed[name]) for name in _OWN}
    sections["sweep"] = _with_dimensions(sections["sweep"], given, dimensions)
    return make_request(sections, Composer(given, sections["sweep"].get("set") or {}))


def _is_dimension(word: str) -> bool:
    override = None if word.startswith("-") else parse_word(word)
    return override is not None and bool(override.is_sweep_override())


def _with_dimensions(
    sweep: dict[str, Any], words: Words, dimensions: Mapping[str, Any]
) -> dict[str, Any]:
    """Put what the command line says of dimensions in place of the file's."""
    search = dict(sweep.get("search") or {})
    space, tune = dict(sweep.get("space") or {}), dict(search.get("tune") or {})
    fixed = {
        key: [plain_value(value)] for key, value in words.values.items() if key in {**space, **tune}
    }
    for key, values in {**fixed, **dimensions}.items():
        home = tune if key in tune or isinstance(values, dict) else space
        home[key] = values
    return {**sweep, "space": space, "search": {**search, "tune": tune}}


def _varied(override: Override) -> str:
    """Return the key of a dimension.

    Raises:
        UserError: if it is none of the experiment's: all trials of a sweep share those.
    """
    key = str(override.key_or_group)
    if key.partition(".")[0] in (*_OWN, "hydra"):
        values = str(override.input_line).partition("=")[2]
        start = next((start for start in _WRITTEN if key.startswith(start)), "")
        written = _WRITTEN[start].format(key=key.removeprefix(start), values=values)
        raise UserError(f"{override.input_line}: all trials of a sweep share {key}; {written}")
    return key


def _dimension(override: Override) -> Any:
    """Return the values of a dimension, as `sweep.space` and `sweep.search.tune` have them."""
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):
        return [plain_value(value) for value in sweep.list]
    if isinstance(sweep, RangeSweep):
        return [plain_value(value) for value in sweep.range()]
    if isinstance(sweep, IntervalSweep):
        return {"low": sweep.start, "high": sweep.end, "log": "log" in sweep.tags}
    raise UserError(
        f"{override.input_line} is no dimension that a sweep knows; write the values: KEY=1,2,4"
    )
