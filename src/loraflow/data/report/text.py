"""How the report shows a row as it was read, and what was measured on it: as names and texts."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

_LONGEST_PARSED = 200_000  # characters of a row; what is longer is shown by its head, as text
_MOST_FIELDS = 12  # columns or turns of a row that are shown


def split_fields(original: str) -> list[tuple[str, str]]:
    """Return a row as it was read as (column or role, text); a text alone has no name."""
    if len(original) > _LONGEST_PARSED:
        return [("", original)]
    try:
        value = orjson.loads(original)
    except orjson.JSONDecodeError:
        return [("", original)]
    return list(_fields(value))[:_MOST_FIELDS] or [("", original)]


def plain_note(value: str | None) -> str:
    """Return what was measured, kept as JSON text, as a person would write it."""
    try:
        return _plain(orjson.loads(value or "null"))
    except orjson.JSONDecodeError:  # a note that was cut
        return value or ""


def _fields(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and _turn(value) is None:
        for key, part in value.items():
            yield from _turns(str(key), part)
    else:
        yield from _turns("", value)


def _turns(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the turns of a conversation one by one, and anything else as one text."""
    parts = value if isinstance(value, list) else [value]
    turns = [_turn(part) for part in parts]
    if not turns or None in turns:
        yield name, value if isinstance(value, str) else orjson.dumps(value).decode()
        return
    for role, text in filter(None, turns):
        yield role if name in ("", "messages", "conversations") else f"{name}: {role}", text


def _turn(part: Any) -> tuple[str, str] | None:
    if not isinstance(part, Mapping):
        return None
    role, text = part.get("role", part.get("from")), part.get("content", part.get("value"))
    return (role, text) if isinstance(role, str) and isinstance(text, str) else None


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, Mapping):
        parts = (f"{str(key).replace('_', ' ')} {_plain(part)}" for key, part in value.items())
        return ", ".join(parts)
    if isinstance(value, list):
        is_range = len(value) == len(("low", "high")) and not any(map(_is_text, value))
        return (" to " if is_range else ", ").join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
