"""Which two adapters are compared now, and what each of them did: requests, ratings, latencies."""

import math
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loraflow.compare.statistics import Interval, mean_interval
from loraflow.serve.traffic.ratings import Said

Kind = Literal["split", "shadow"]

_OTHERS: Mapping[str, Kind] = {"candidate": "split", "shadow": "shadow"}
_ENDED = ("stop", "length")  # answers that came to an end, of which latencies are told


@dataclass(frozen=True)
class ArmAdapter:
    """What answers as an arm."""

    arm: str  # control; candidate or shadow
    digest: str
    version: int | None
    run_id: str | None

    @property
    def short(self) -> str:
        """Return what people tell it by."""
        return f"version {self.version}" if self.version is not None else self.digest[:12]


@dataclass(frozen=True)
class Pairing:
    """Two adapters that are compared, since the last one of others answered."""

    kind: Kind
    control: ArmAdapter
    candidate: ArmAdapter
    since: float  # Unix time; requests after it count

    @property
    def adapters(self) -> dict[str, str]:
        """Return the digest that counts for each arm."""
        return {arm.arm: arm.digest for arm in (self.control, self.candidate)}


@dataclass(frozen=True)
class Quantiles:
    """The middle, and what 19 of 20 stay below."""

    p50: float
    p95: float


@dataclass(frozen=True)
class ArmSummary:
    """What one arm did."""

    adapter: ArmAdapter
    requests: int
    users: int  # that are named
    finish: Mapping[str, int]
    first_token_seconds: Quantiles | None  # None: no answer came to an end
    seconds: Quantiles | None
    answer_tokens: Quantiles | None
    up: int
    down: int
    raters: int  # users; each request of nobody is one
    rate: Interval | None  # of thumbs up; users are drawn, not ratings
    better: int  # answers that users wrote instead


def pairing_of(table: sqlite3.Connection) -> Pairing | None:
    """Return the comparison that runs, or ran last; None if there never was one.

    It begins anew whenever an alias moves or the mode changes: ratings of another adapter are none
    of this one, and what only one arm was rated in another week is no fair comparison.
    """
    arms = [_latest(table, arm) for arm in _OTHERS]
    others = [found for found in arms if found is not None]
    control = _latest(table, "control")
    if not others or control is None:
        return None
    _, other = max(others, key=lambda found: found[0])
    query = """
    SELECT max(at) FROM exchanges
    WHERE (arm = 'control' AND adapter <> ?) OR (arm = ? AND adapter <> ?)
      OR (arm IN ('candidate', 'shadow') AND arm <> ?)
    """
    values = (control[1].digest, other.arm, other.digest, other.arm)
    (since,) = table.execute(query, values).fetchone()
    kind = _OTHERS[other.arm]
    return Pairing(kind, control[1], other, -1.0 if since is None else float(since))


def summary_of(
    table: sqlite3.Connection, pairing: Pairing, adapter: ArmAdapter, said: Mapping[str, Said]
) -> ArmSummary:
    """Return what an arm did since the pairing began."""
    query = """
    SELECT id, user, finish, answer_tokens, first_token_seconds, seconds FROM exchanges
    WHERE arm = ? AND adapter = ? AND at > ? ORDER BY at, id
    """
    rows = table.execute(query, (adapter.arm, adapter.digest, pairing.since)).fetchall()
    ended = [row for row in rows if row["finish"] in _ENDED]
    rated = [
        (row["user"] or row["id"], float(found.rating == "up"))
        for row in rows
        if (found := said.get(row["id"])) is not None and found.rating is not None
    ]
    values = [value for _, value in rated]
    return ArmSummary(
        adapter=adapter,
        requests=len(rows),
        users=len({row["user"] for row in rows} - {""}),
        finish=dict(Counter(row["finish"] for row in rows).most_common()),
        first_token_seconds=_quantiles([row["first_token_seconds"] for row in ended]),
        seconds=_quantiles([row["seconds"] for row in ended]),
        answer_tokens=_quantiles([row["answer_tokens"] for row in ended]),
        up=int(sum(values)),
        down=len(values) - int(sum(values)),
        raters=len({user for user, _ in rated}),
        rate=_rate(rated),
        better=sum(row["id"] in said and bool(said[row["id"]].better) for row in rows),
    )


def _rate(rated: Sequence[tuple[str, float]]) -> Interval | None:
    """Return the share of thumbs up; of a single user's ratings nothing follows for others."""
    if not rated:
        return None
    users = [user for user, _ in rated]
    values = [value for _, value in rated]
    found = mean_interval(values, clusters=users if len(set(users)) < len(users) else None)
    if math.isnan(found.low):
        return Interval(found.value, 0.0, 1.0)
    return Interval(found.value, max(0.0, found.low), min(1.0, found.high))


def _latest(table: sqlite3.Connection, arm: str) -> tuple[float, ArmAdapter] | None:
    query = """
    SELECT at, adapter, version, run_id FROM exchanges
    WHERE arm = ? ORDER BY at DESC, id DESC LIMIT 1
    """
    row = table.execute(query, (arm,)).fetchone()
    if row is None:
        return None
    return row["at"], ArmAdapter(arm, row["adapter"], row["version"], row["run_id"])


def _quantiles(values: Sequence[float]) -> Quantiles | None:
    if not values:
        return None
    p50, p95 = np.quantile(values, [0.5, 0.95])
    return Quantiles(float(p50), float(p95))
