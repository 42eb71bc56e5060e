"""Reads FastChat's files, one JSON object a line, and says which line is bad and how to mend it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from loraflow.errors import UserError

_SHOWN = 80  # characters of a bad value in an error


@dataclass(frozen=True)
class Row:
    """A line's object, and where it stands."""

    where: str  # config key, file and line
    fields: dict[str, Any]

    def integer(self, name: str) -> int:
        """Return a whole number."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(name, value, "a whole number")
        return value

    def text(self, name: str) -> str:
        """Return a string that is not empty."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.error(name, value, "a text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value: Any = self.fields.get(name)
        if not _are_texts(value):
            raise self.error(name, value, "a list of texts")
        return tuple(value)

    def first_choice(self) -> tuple[str, ...]:
        """Return the turns of choices[0], the only choice that is judged."""
        value: Any = self.fields.get("choices")
        fits = isinstance(value, list) and value and isinstance(value[0], dict)
        if not fits or not _are_texts(value[0].get("turns")):
            wanted = '[{"index": 0, "turns": ["first answer", "second answer"]}]'
            raise self.error("choices", value, wanted)
        return tuple(value[0]["turns"])

    def error(self, name: str, value: object, wanted: str) -> UserError:
        """Say which field is wrong, and what belongs there."""
        return UserError(f"{self.where}: {name}={shown(value)} is not {wanted}; correct this line")


def read_rows(file: Traversable, key: str) -> Iterator[Row]:
    """Yield the objects of a file's lines; empty lines are passed over.

    Raises:
        UserError: if a line is not a JSON object; `key` is the config key that led to the file.
    """
    for number, line in enumerate(_read_text(file, key).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{key}: {file}, line {number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{where} is not JSON ({error}): {shown(line)}; correct or remove this line"
            ) from error
        if not isinstance(fields, dict):
            raise UserError(f"{where} is {shown(fields)}; write a JSON object on each line")
        yield Row(where, fields)


def file_name(name: str) -> str:
    """Return the name of a model or judge as a file can bear it: org/model is org--model."""
    return name.replace("/", "--")


def shown(value: object) -> str:
    """Return the value as an error shows it, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _read_text(file: Traversable, key: str) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")  # without the mark that Windows puts first
    except OSError as error:
        raise UserError(f"{key}: {file} cannot be read: {error}; check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{key}: {file} is not UTF-8 ({error}); save it as UTF-8") from error


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
