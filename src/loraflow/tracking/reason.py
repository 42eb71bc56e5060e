"""Says in a few words why something failed, without what must not be logged."""

import os
import re
from collections.abc import Iterator

from loraflow.errors import UserError

_LONGEST = 500  # characters
_MASK = "***"
_SECRET_NAME = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
_SHORTEST_SECRET = 6  # characters; what is shorter ("1", "true") is part of other words
_SECRET_TEXT = re.compile(
    r"(?<=://)[^/\s@]+(?=@)"  # user and password of an address
    r"|(?<=bearer )\S+"
    r"|(?<=api_key=)[^\s&,;]+|(?<=password=)[^\s&,;]+|(?<=token=)[^\s&,;]+"
    r"|\b(?:sk|hf|ghp|xoxb)[-_][\w-]{8,}",  # as common services begin their keys
    re.IGNORECASE,
)


def reason_of(error: BaseException) -> str:
    """Return the first lines of an error, at most 500 characters, secrets masked."""
    text = str(error).strip()
    if not isinstance(error, UserError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return short_reason(text)


def short_reason(text: str) -> str:
    """Return the beginning of a text with secrets masked."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, _MASK)
    text = _SECRET_TEXT.sub(_MASK, text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3].rstrip()}..."


def _secrets() -> Iterator[str]:
    """Yield the values of this process's variables that are named like secrets."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            yield value
