"""Reads single columns of a row: what counts as missing, as text and as a label."""

import json
from collections.abc import Mapping
from typing import Any

Item = Mapping[str, Any]
"""A row of a file, under the layout's names of its columns."""

_LABEL_BITS = 64  # longer integers are no labels, and Python may refuse to write them out


class Unfit(Exception):
    """The row is not of the layout; the message says what it would have to hold."""

    @property
    def needed(self) -> str:
        """What would have been allowed."""
        return str(self.args[0])


def first_present(item: Item, *names: str) -> Any:
    """Return the first value that is not missing; null and NaN are how tables say missing."""
    for name in names:
        value = item.get(name)
        if value is not None and not (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN differs from itself
            return value
    return None


def optional_text(item: Item, *names: str) -> str:
    """Return the text of the first column that is there, else an empty one.

    Raises:
        Unfit: if the column holds anything but text.
    """
    value = first_present(item, *names)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unfit(f"text in {' or '.join(names)}")
    return value


def required_text(item: Item, *names: str) -> str:
    """Return the text of the first column that is there.

    Raises:
        Unfit: if all are missing, or the column holds anything but text.
    """
    value = first_present(item, *names)
    if not isinstance(value, str):
        raise Unfit(f"text in {' or '.join(names)}")
    return value


def read_system(item: Item) -> str:
    """Return the system prompt that stands in a column, or an empty text."""
    return optional_text(item, "system", "system_prompt")


def required_label(item: Item, name: str) -> str:
    """Return a class as text: true -> "true", 3 -> "3", and 3.0, as tables write it, -> "3".

    Raises:
        Unfit: if it is missing, or neither text, whole number nor truth value.
    """
    value = first_present(item, name)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or value.bit_length() > _LABEL_BITS:
        raise Unfit(f"text, a whole number, true or false in {name}")
    return str(value)


def write_json(value: Any, *, where: str) -> str:
    """Return JSON on one line, Chinese characters as they are.

    Raises:
        Unfit: if it is nested too deeply, or no JSON value.
    """
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError) as error:
        raise Unfit(f"JSON that can be written in {where}") from error
