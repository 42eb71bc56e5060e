"""Reads back what the stage prepare wrote: train.parquet and held_out.parquet."""

from pathlib import Path
from string import ascii_uppercase
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from loraflow.data.read.fields import Item, Unfit
from loraflow.data.records import Kind, Record
from loraflow.data.tables import RECORDS, as_row

OWN = "records"
_ROLES = ("system", "user", "assistant", "tool")
_OF_MESSAGE = {"role", "content", "learn"}


def is_own(path: Path) -> bool:
    """Tell whether a file was written by this project, whatever the layout of other files."""
    if path.suffix != ".parquet":
        return False
    try:
        return bool(pq.read_schema(path).names == RECORDS.names)
    except (OSError, pa.ArrowInvalid):  # reading its rows will say what is wrong
        return False


def from_own(item: Item) -> Record:
    """Return the record of a row; a JSON file may have these columns, and anything in them."""
    if any(name not in item for name in RECORDS.names):
        raise Unfit(f"the columns {', '.join(RECORDS.names)}")
    messages, choices = item["messages"], item["choices"]
    if not (isinstance(messages, list) and messages and all(map(_is_message, messages))):
        raise Unfit("messages with a role and a content")
    if not (choices is None or (isinstance(choices, list) and all(map(_is_text, choices)))):
        raise Unfit("a list of texts in choices")
    if item["kind"] not in get_args(Kind):
        raise Unfit(f"{', '.join(get_args(Kind))} in kind")
    if not all(item[name] is None or _is_text(item[name]) for name in ("rejected", "label")):
        raise Unfit("text or nothing in rejected and label")
    letters = [*ascii_uppercase[: len(choices or ())]]
    if item["kind"] == "choice" and item["label"] not in letters:
        raise Unfit("the options in choices and the right one's letter in label")
    return as_row(item).record


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("role") in _ROLES
        and _is_text(value.get("content"))
        and value.get("learn") in (None, True, False)
        and value.keys() <= _OF_MESSAGE
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
