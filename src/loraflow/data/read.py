"""Turns a source into records: one reader a format."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

from loraflow.config import DataConfig
from loraflow.data.pydoc import hash_standard_library, read_pydoc
from loraflow.data.records import Message, Record, Rejected, Row
from loraflow.errors import UserError
from loraflow.files import hash_content

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def read_rows(data: DataConfig) -> Iterator[Row]:
    """Yield every row of the source, the unreadable ones as `Rejected`.

    Raises:
        UserError: if the file is missing, empty, or not what `data.format` says.
    """
    return _READERS[data.format](data)


def fingerprint(data: DataConfig) -> str:
    """Return a digest of the source's content, wherever it lies."""
    if data.path is None:
        return hash_standard_library()
    return hash_content(_checked(data))


def _read_alpaca(data: DataConfig) -> Iterator[Row]:
    """Alpaca layout: instruction, input, output, and optionally system and history."""
    for line, item in _read_objects(_checked(data)):
        yield item if isinstance(item, Rejected) else _from_alpaca(item, line)


def _from_alpaca(item: Any, line: int) -> Row:
    if not isinstance(item, dict):
        return Rejected(line, "schema", type(item).__name__, "an object", item)
    present = {key: value for key, value in item.items() if value is not None}
    texts = {key: present.get(key, "") for key in ("system", "instruction", "input", "output")}
    history = present.get("history", [])
    if not all(isinstance(text, str) for text in texts.values()) or not _is_history(history):
        return Rejected(line, "schema", sorted(item), "text in every field", item)
    if _LONE_SURROGATE.search("".join([*texts.values(), *chain(*history)])):
        return Rejected(line, "unicode", "half a surrogate pair", "valid Unicode", item)
    if "instruction" not in item or "output" not in item:
        return Rejected(line, "schema", sorted(item), ["instruction", "output"], item)
    turns = [*history, ["\n".join(filter(None, (texts["instruction"], texts["input"]))), ""]]
    messages: list[Message] = []
    if texts["system"]:
        messages.append({"role": "system", "content": texts["system"]})
    for question, answer in turns:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    messages[-1] = {"role": "assistant", "content": texts["output"]}
    return Record(tuple(messages), line)


def _is_history(history: Any) -> bool:
    return isinstance(history, list) and all(
        isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn)  # noqa: PLR2004 - question and answer
        for turn in history
    )


def _read_objects(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of a JSON list or of JSON lines."""
    text = _read_text(path)
    if path.suffix == ".jsonl":
        yield from _read_json_lines(text)
        return
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits
        raise UserError(
            f"data.path={path} is not JSON: {error}; "
            "mend the file, or name it .jsonl if it has one object a line"
        ) from error
    if not isinstance(items, list):
        raise UserError(
            f"data.path={path} holds a JSON {type(items).__name__}, not a list of records; "
            "wrap the records in [ ], or write one a line in a .jsonl file"
        )
    yield from zip(count(1), items, strict=False)


def _read_json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:  # also a number of 5,000 digits
            yield number, Rejected(number, "json", str(error), "one JSON object a line", line)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"data.path={path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"data.path={path} is not UTF-8: byte 0x{error.object[error.start]:02x} "
            f"at offset {error.start}; convert the file, e.g. iconv -f GB18030 -t UTF-8"
        ) from error


def _checked(data: DataConfig) -> Path:
    path = data.path
    if path is None or not path.exists():
        raise UserError(
            f"data.path={path} does not exist (looked at {path and path.absolute()}); "
            "set data.path=FILE"
        )
    if not path.is_file():
        raise UserError(f"data.path={path} is a folder; set data.path to a file in it")
    if path.stat().st_size == 0:
        raise UserError(f"data.path={path} is empty; set data.path to a file with records")
    return path


_READERS: dict[str, Callable[[DataConfig], Iterator[Row]]] = {
    "alpaca": _read_alpaca,
    "pydoc": read_pydoc,
}
