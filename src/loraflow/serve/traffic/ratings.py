"""What users say of answers: the latest of each kind, and votes, which a test may count.

Ratings of one user are not independent: who is hard to please says so again and again, and the
test would take one grumpy user for a bad arm. So a user counts once: a *vote* is the mean of what
he says of his first few answers, or of those of his first day, in the arm that he rated first. It
is cast when he has rated so many, or that day is over. What he says later does not change it, since
a test that may be looked at any time must not have its past changed. (The mean of all his ratings
would move with each new one; one vote a day would let him speak for many users.)
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

RATINGS_OF_A_VOTE = 5
VOTE_SECONDS = 24 * 3600


class _Timed(Protocol):
    @property
    def at(self) -> float: ...
    @property
    def user(self) -> str: ...


_Item = TypeVar("_Item", bound=_Timed)
_VALUES = {"up": 1.0, "down": 0.0}
_LATEST = """
SELECT id,
  (SELECT rating FROM ratings WHERE id = one.id AND rating IS NOT NULL ORDER BY number DESC LIMIT 1)
    AS rating,
  (SELECT text FROM ratings WHERE id = one.id AND text <> '' ORDER BY number DESC LIMIT 1) AS text,
  (SELECT better FROM ratings WHERE id = one.id AND better <> '' ORDER BY number DESC LIMIT 1)
    AS better
FROM (SELECT DISTINCT id FROM ratings) AS one
"""


@dataclass(frozen=True)
class Said:
    """The latest that was said of an exchange, of each kind."""

    rating: Literal["up", "down"] | None
    text: str
    better: str


@dataclass(frozen=True)
class Rating:
    """One value that was given to one answer."""

    at: float
    exchange: str
    user: str
    arm: str
    value: float


@dataclass(frozen=True)
class Vote:
    """What a user counts for."""

    at: float  # when it was cast
    user: str
    arm: str
    value: float  # mean of its ratings


@dataclass(frozen=True)
class Votes:
    """All votes in the order in which they were cast, and how many users have not yet done so."""

    cast: Sequence[Vote]
    open: int


def latest(table: sqlite3.Connection) -> dict[str, Said]:
    """Return what was said last of each exchange that anything was said of.

    A comment without a thumb leaves the thumb as it was.
    """
    return {
        row["id"]: Said(row["rating"], row["text"] or "", row["better"] or "")
        for row in table.execute(_LATEST)
    }


def ratings_of(
    table: sqlite3.Connection, adapters: Mapping[str, str], *, deal: str, since: float
) -> list[Rating]:
    """Return every thumb, as they came, on what the arms' `adapters` answered from `since` on."""
    query = """
    SELECT r.at, r.id, r.rating, e.user, e.arm, e.adapter FROM ratings AS r JOIN exchanges AS e
    ON e.id = r.id WHERE r.rating IS NOT NULL AND e.deal = ? AND e.at >= ? ORDER BY r.number
    """
    return [
        Rating(row["at"], row["id"], row["user"], row["arm"], _VALUES[row["rating"]])
        for row in table.execute(query, (deal, since))
        if adapters.get(row["arm"]) == row["adapter"]
    ]


def votes_of(ratings: Iterable[Rating], now: float) -> Votes:
    """Return the votes that have been cast by `now`."""
    ballots: dict[str, _Ballot] = {}
    for rating in ratings:
        new = _Ballot(rating.at, rating.user, rating.arm)
        ballots.setdefault(rating.user, new).mark(rating)
    found = [ballot.cast(now) for ballot in ballots.values()]
    cast = sorted((vote for vote in found if vote is not None), key=lambda vote: vote.at)
    return Votes(cast, len(found) - len(cast))


def first_of_users(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield what can come into a vote, as `votes_of` does it; the rest need not be judged."""
    seen: dict[str, list[float]] = {}
    for item in items:
        times = seen.setdefault(item.user, [])
        if len(times) == RATINGS_OF_A_VOTE:
            continue
        times.append(item.at)
        if item.at <= times[0] + VOTE_SECONDS:
            yield item


@dataclass
class _Ballot:
    """What a user has said until his vote is cast."""

    since: float
    user: str
    arm: str
    values: dict[str, float] = field(default_factory=dict)  # by exchange: the latest counts
    full_at: float | None = None

    def mark(self, rating: Rating) -> None:
        if self.full_at is not None or rating.arm != self.arm:
            return
        if rating.at > self.since + VOTE_SECONDS:
            return
        self.values[rating.exchange] = rating.value
        if len(self.values) == RATINGS_OF_A_VOTE:
            self.full_at = rating.at

    def cast(self, now: float) -> Vote | None:
        at = self.since + VOTE_SECONDS if self.full_at is None else self.full_at
        if at > now:
            return None
        return Vote(at, self.user, self.arm, sum(self.values.values()) / len(self.values))
