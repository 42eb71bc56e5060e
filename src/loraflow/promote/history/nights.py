"""What the page knows of each night: its decision, its length, the champion's score after it."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from loraflow.compare.statistics import Interval
from loraflow.config.nightly import Outcome
from loraflow.promote.gate.decision import BASE_MODEL, Decision
from loraflow.promote.record import NightRecord, as_utc, in_order

_log = logging.getLogger(__name__)
_VERSION = re.compile(r"\d+")
_HOUR = 3600  # seconds

RED: Sequence[Outcome] = ("failed", "stopped")


@dataclass(frozen=True)
class Night:
    """A record, read for the page."""

    record: NightRecord
    decision: Decision | None
    started: datetime
    seconds: float
    scale: tuple[str, str] | None  # metric and gate set: scores of one scale can be compared
    score: Interval | None  # of who is champion when the night ends, on that scale

    @property
    def at(self) -> float:
        """Return its place in time, in days."""
        return self.started.timestamp() / (24 * _HOUR)

    @property
    def day(self) -> str:
        """Return the date in UTC."""
        return f"{self.started:%Y-%m-%d}"

    @property
    def date(self) -> str:
        """Return the date in words."""
        return f"{self.started.day} {self.started:%b %Y}"

    def count(self, name: str) -> int | None:
        """Return a number of rows that the record has: rows, new_rows, rejected."""
        found = self.record.data.get(name)
        return found if isinstance(found, int) else None

    @property
    def is_red(self) -> bool:
        """Tell whether somebody has to look."""
        return self.record.outcome in RED

    @property
    def is_rollback(self) -> bool:
        """Tell whether it is no night, but somebody's word."""
        return self.record.outcome == "rolled_back"

    @property
    def most_drift(self) -> tuple[str, float] | None:
        """Return the feature that moved most."""
        return max(self.record.drift.items(), key=lambda item: item[1], default=None)


def read_nights(records: Sequence[NightRecord]) -> list[Night]:
    """Return the nights as they ended, the oldest first.

    A champion's score is carried on through nights without a decision. After a rollback it is that
    of the older version, where it was measured by the same metric on the same gate set.
    """
    scores: dict[tuple[int | None, tuple[str, str] | None], Interval] = {}
    scale: tuple[str, str] | None = None
    nights = []
    for record in in_order(records):
        decision = _decision(record)
        if decision is not None:
            scale = (decision.metric, decision.gate)
            scores[_version(decision.reference), scale] = decision.champion
            if record.version is not None:
                scores[record.version, scale] = decision.challenger
        started, ended = as_utc(record.started), as_utc(record.ended)
        seconds = max(0.0, (ended - started).total_seconds())  # clocks are set back
        score = scores.get((record.champion, scale))
        nights.append(Night(record, decision, started, seconds, scale, score))
    return nights


def base_score(nights: Sequence[Night]) -> Interval | None:
    """Return the base model's score on the scale of the last night, where it was measured."""
    for night in reversed(nights):
        found = night.decision
        if found is not None and night.scale == nights[-1].scale and found.reference == BASE_MODEL:
            return found.champion
    return None


def reign(nights: Sequence[Night]) -> list[Night]:
    """Return the nights since the last champion became it, that night included."""
    found: list[Night] = []
    for night in reversed(nights):
        if night.record.champion != nights[-1].record.champion:
            break
        found.insert(0, night)
    return found


def took(seconds: float) -> str:
    """Return a duration: 41 s, 12 min, 3.2 h."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"


def counts_of(nights: Sequence[Night]) -> Mapping[Outcome, int]:
    """Return how many nights ended how, in the order in which they are always named."""
    ended = [night.record.outcome for night in nights]
    return {one: ended.count(one) for one in _ORDER if one in ended}


_ORDER: Sequence[Outcome] = ("promoted", "kept", "skipped", "stopped", "failed", "rolled_back")


def _decision(record: NightRecord) -> Decision | None:
    if record.decision is None:
        return None
    try:
        return Decision.from_dict(record.decision)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        _log.warning(
            "the decision in the record of night %s cannot be read (%s); the history shows the "
            "night without it",
            record.id,
            type(error).__name__,
        )
        return None


def _version(reference: str) -> int | None:
    found = _VERSION.search(reference)
    return int(found[0]) if found else None
