"""Which two adapters are compared now, and what each of them did: requests, ratings, latencies."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loraflow.compare.statistics import Interval, clustered_share
from loraflow.serve.traffic.ratings import Said
from loraflow.serve.traffic.split import share_of

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
    """Two adapters that are compared, since both answer and nothing else changed."""

    kind: Kind
    control: ArmAdapter
    candidate: ArmAdapter
    deal: str  # how users were dealt out, in all that counts
    since: float  # Unix time; requests from then on count
    began_anew: bool  # something else was compared before, or users were dealt out otherwise

    @property
    def adapters(self) -> dict[str, str]:
        """Return the digest that counts for each arm."""
        return {arm.arm: arm.digest for arm in (self.control, self.candidate)}

    @property
    def share(self) -> float | None:
        """Return the candidate's part of users; None if the log does not say."""
        return share_of(self.deal)


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
    users: int  # or first questions, where a client names nobody
    finish: Mapping[str, int]
    first_token_seconds: Quantiles | None  # None: no answer came to an end
    seconds: Quantiles | None
    answer_tokens: Quantiles | None
    up: int
    down: int
    raters: int  # users
    rate: Interval | None  # of thumbs up; users are drawn, not ratings
    better: int  # answers that users wrote instead


def pairing_of(table: sqlite3.Connection) -> Pairing | None:
    """Return the comparison that runs, or ran last; None if there never was one.

    It begins when both arms have answered, and anew whenever an alias moves or users are dealt out
    otherwise: ratings of another adapter are none of this one, what only one arm was rated in
    another week is no fair comparison, and under another salt the same user would vote again.
    """
    other = _latest(table, "arm IN ('candidate', 'shadow')")
    control = other and _latest(table, "arm = 'control' AND deal = ?", other["deal"])
    if other is None or control is None:
        return None
    last = _last_of_others(table, control, other)
    known = [last, *(_first(table, row, after=last) for row in (control, other))]
    return Pairing(
        kind=_OTHERS[other["arm"]],
        control=_adapter_of(control),
        candidate=_adapter_of(other),
        deal=other["deal"],
        since=max(at for at in known if at is not None),
        began_anew=last is not None,
    )


def summary_of(
    table: sqlite3.Connection, pairing: Pairing, adapter: ArmAdapter, said: Mapping[str, Said]
) -> ArmSummary:
    """Return what an arm did since the pairing began."""
    query = """
    SELECT id, user, finish, answer_tokens, first_token_seconds, seconds FROM exchanges
    WHERE arm = ? AND adapter = ? AND deal = ? AND at >= ? ORDER BY at, id
    """
    values = (adapter.arm, adapter.digest, pairing.deal, pairing.since)
    rows = table.execute(query, values).fetchall()
    ended = [row for row in rows if row["finish"] in _ENDED]
    rated = [
        (row["user"], float(found.rating == "up"))
        for row in rows
        if (found := said.get(row["id"])) is not None and found.rating is not None
    ]
    ups = sum(value > 0 for _, value in rated)
    return ArmSummary(
        adapter=adapter,
        requests=len(rows),
        users=len({row["user"] for row in rows}),
        finish=dict(Counter(row["finish"] for row in rows).most_common()),
        first_token_seconds=_quantiles([row["first_token_seconds"] for row in ended]),
        seconds=_quantiles([row["seconds"] for row in ended]),
        answer_tokens=_quantiles([row["answer_tokens"] for row in ended]),
        up=ups,
        down=len(rated) - ups,
        raters=len({user for user, _ in rated}),
        rate=_rate(rated),
        better=sum(row["id"] in said and bool(said[row["id"]].better) for row in rows),
    )


def _latest(table: sqlite3.Connection, where: str, *values: str) -> sqlite3.Row | None:
    query = f"SELECT * FROM exchanges WHERE {where} ORDER BY at DESC, id DESC LIMIT 1"
    found: sqlite3.Row | None = table.execute(query, values).fetchone()
    return found


def _adapter_of(row: sqlite3.Row) -> ArmAdapter:
    return ArmAdapter(row["arm"], row["adapter"], row["version"], row["run_id"])


def _last_of_others(
    table: sqlite3.Connection, control: sqlite3.Row, other: sqlite3.Row
) -> float | None:
    """Return when the last request before these was answered by another adapter or dealt otherwise.

    Requests for other names than the one that is dealt out say nothing of how.
    """
    query = """
    SELECT max(at) FROM exchanges WHERE at < :last AND (
      (model = :model AND deal <> :deal)
      OR (arm = 'control' AND adapter <> :control) OR (arm = :arm AND adapter <> :other)
      OR (arm IN ('candidate', 'shadow') AND arm <> :arm))
    """
    values = {name: other[name] for name in ("model", "deal", "arm")}
    values |= {"control": control["adapter"], "other": other["adapter"]}
    values["last"] = max(control["at"], other["at"])
    found: float | None = table.execute(query, values).fetchone()[0]
    return found


def _first(table: sqlite3.Connection, like: sqlite3.Row, *, after: float | None) -> float | None:
    """Return when an arm was first asked; what answers in the shadow, when the user was."""
    query = """
    SELECT min(coalesce(seen.at, own.at)) FROM exchanges AS own
    LEFT JOIN exchanges AS seen ON seen.id = own.shadow_of
    WHERE own.arm = ? AND own.adapter = ? AND own.deal = ? AND own.at > ?
    """
    values = (like["arm"], like["adapter"], like["deal"], -1.0 if after is None else after)
    found: float | None = table.execute(query, values).fetchone()[0]
    return found


def _rate(rated: Sequence[tuple[str, float]]) -> Interval | None:
    """Return the share of thumbs up; users are drawn, each with all ratings."""
    if not rated:
        return None
    users, ups = zip(*rated, strict=True)
    return clustered_share(ups, users)


def _quantiles(values: Sequence[float]) -> Quantiles | None:
    if not values:
        return None
    p50, p95 = np.quantile(values, [0.5, 0.95])
    return Quantiles(float(p50), float(p95))
