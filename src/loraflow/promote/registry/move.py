"""A move of the alias `champion`, as the journal in MLflow has it."""

import json
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal, Self

from loraflow.tracking.reason import short_reason


@dataclass(frozen=True)
class Move:
    """The alias `champion` goes from one version to another."""

    kind: Literal["promotion", "rollback"]
    start: int | None  # version; None: there was no champion
    end: int
    by: str
    reason: str
    at: str
    id: str  # tells it from another move at the same time

    def line(self, what: str) -> str:
        """Return a line for the history of a version."""
        return f"{self.at}: {what}, by {self.by}: {self.reason}"

    def as_text(self) -> str:
        """Return what goes into the journal."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `as_text` wrote."""
        return cls(**json.loads(text))


def make_move(
    kind: Literal["promotion", "rollback"], start: int | None, end: int, *, by: str, reason: str
) -> Move:
    """Return a move that begins now."""
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Move(kind, start, end, by, " ".join(short_reason(reason).split()), at, uuid.uuid4().hex)
