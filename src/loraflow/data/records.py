"""The one shape of a row after reading, and of a row set aside."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Message = Mapping[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


@dataclass(frozen=True)
class Record:
    """A conversation whose last message is the answer to learn."""

    messages: tuple[Message, ...]
    line: int  # where the source has it, counted from 1

    @property
    def id(self) -> str:
        """Name the row by its content, so that it is the same in every run."""
        text = json.dumps([dict(message) for message in self.messages], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All that comes before the answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The text to learn."""
        return self.messages[-1]["content"]

    def as_row(self) -> dict[str, Any]:
        """Return the record as it is written to disk."""
        return {"id": self.id, "messages": list(self.messages), "line": self.line}


@dataclass(frozen=True)
class Rejected:
    """A row that is not trained on, with the reason, and as it was."""

    line: int
    operator: str  # what rejected it
    value: Any  # what was measured
    threshold: Any  # what was allowed
    original: Any

    def as_row(self) -> dict[str, Any]:
        """Return the rejection as it is written to disk."""
        return asdict(self)


Row = Record | Rejected


def from_row(row: Mapping[str, Any]) -> Record:
    """Read what `Record.as_row` wrote."""
    return Record(messages=tuple(row["messages"]), line=row["line"])
