"""Knows the layouts of instruction files: finds the one of a file, turns its rows into records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loraflow.data.read.choices import from_choice
from loraflow.data.read.conversations import from_messages, from_sharegpt
from loraflow.data.read.fields import Item, Unfit
from loraflow.data.read.own import OWN, from_own
from loraflow.data.read.preferences import from_kto, from_preference
from loraflow.data.read.questions import (
    from_alpaca,
    from_classify,
    from_firefly,
    from_openorca,
    from_prompt_completion,
    from_question_answer,
    from_text,
)
from loraflow.data.records import Fault, Record

_COLUMNS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns a row has, in words, and what makes a record of it (or raises `Unfit`)."""

    columns: str
    convert: Callable[[Item], Record]


LAYOUTS: dict[str, Layout] = {  # the most demanding first: that is how one is detected
    OWN: Layout("a train.parquet or held_out.parquet of loraflow", from_own),
    "preference": Layout(
        "chosen, rejected; prompt, conversations, messages, instruction or question unless "
        "chosen and rejected hold whole conversations",
        from_preference,
    ),
    "kto": Layout("kto_tag or label (true, false); any layout of one answer", from_kto),
    "choice": Layout(
        "question, options or choices (or columns A, B, ...), answer_idx, answerKey or answer; "
        "optional: system",
        from_choice,
    ),
    "sharegpt": Layout("conversations (from, value); optional: system, tools", from_sharegpt),
    "messages": Layout("messages (role, content); optional: system, tools", from_messages),
    "alpaca": Layout(
        "instruction, output (or response); optional: input (or context), system, history",
        from_alpaca,
    ),
    "openorca": Layout("system_prompt, question, response", from_openorca),
    "prompt_completion": Layout(
        "prompt, completion (or response); optional: system, tools", from_prompt_completion
    ),
    "question_answer": Layout(
        "question (or query), answer (or response); optional: context, system, history",
        from_question_answer,
    ),
    "firefly": Layout("input, target; optional: system", from_firefly),
    "classify": Layout("text, label", from_classify),
    "text": Layout("text", from_text),
}


def convert(
    item: Any, layout: str, *, columns: Mapping[str, str], learn_all: bool
) -> Record | Fault:
    """Return the record that a row of a file holds, or why it holds none; never raises.

    Args:
        item: any JSON value.
        layout: a key of `LAYOUTS`.
        columns: the layout's name of a column -> the file's.
        learn_all: learn every answer of a conversation, unless the data says otherwise, not only
            the last.
    """
    if not isinstance(item, dict):
        return Fault(type(item).__name__, "an object", operator="schema")
    if layout == OWN:  # was renamed, and told what to learn, when it was read first
        columns, learn_all = {}, True
    try:
        record = LAYOUTS[layout].convert(_rename(item, columns))
    except Unfit as unfit:
        return Fault(_name_columns(item), unfit.needed, operator="schema")
    if not _is_unicode(record):
        return Fault("half a surrogate pair", "valid Unicode", operator="unicode_text")
    return record if learn_all else _learn_last_answer(record)


def detect_layout(items: Sequence[Any], columns: Mapping[str, str]) -> str | None:
    """Return the layout of a file, given some of its rows; None if no row fits any.

    It is the first of `LAYOUTS` that more than half of the objects fit, else the one that most fit.
    """
    rows = [_rename(item, columns) for item in items if isinstance(item, dict)]
    most, found = 0, None
    for name, layout in LAYOUTS.items():
        fitting = sum(_fits(row, layout) for row in rows)
        if fitting > len(rows) / 2:
            return name
        if fitting > most:
            most, found = fitting, name
    return found


def describe_layouts() -> str:
    """List the layouts with their columns, one a line."""
    return "\n".join(f"{name}: {layout.columns}" for name, layout in LAYOUTS.items())


def _rename(item: Item, columns: Mapping[str, str]) -> Item:
    """Return the row under the layout's names; a column that got a new name loses its old one."""
    if not columns:
        return item
    moved = {*columns, *columns.values()}
    kept = {name: value for name, value in item.items() if name not in moved}
    return kept | {name: item[theirs] for name, theirs in columns.items() if theirs in item}


def _fits(row: Item, layout: Layout) -> bool:
    try:
        layout.convert(row)
    except Unfit:
        return False
    return True


def _name_columns(item: Item) -> list[str]:
    return sorted(name for name in item if isinstance(name, str))[:_COLUMNS_SHOWN]


def _is_unicode(record: Record) -> bool:
    texts = [message["content"] for message in record.messages]
    if record.rejected is not None:
        texts.append(record.rejected)
    texts.extend(record.choices or ())  # a label is an answer or a letter
    try:
        for text in texts:
            if not text.isascii():
                text.encode()  # twice as fast as a search for surrogates
    except UnicodeEncodeError:
        return False
    return True


def _learn_last_answer(record: Record) -> Record:
    places = [
        place for place, message in enumerate(record.messages) if message["role"] == "assistant"
    ]
    if not places[:-1]:
        return record
    messages = list(record.messages)
    for place in places[:-1]:
        messages[place] = {**messages[place], "learn": False}
    return replace(record, messages=tuple(messages))
