"""Answers in the shadow: nobody sees them, so a judge compares them with what the user saw."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loraflow.serve.traffic.arms import Pairing
from loraflow.serve.traffic.ratings import Rating, first_of_users


@dataclass(frozen=True)
class ShadowPair:
    """One prompt, and what both arms answered."""

    id: str
    at: float
    user: str
    messages: tuple[Mapping[str, str], ...]
    control: str
    candidate: str


@dataclass(frozen=True)
class Judged:
    """What a judge says of the pairs, and what is known of the judge."""

    judge: str  # its name
    values: Mapping[str, int]  # by pair: 1 the candidate won, -1 it lost, 0 a tie
    empty: int  # pairs among them with an empty answer, on which nobody had to be asked
    failed: int  # pairs that the judge gave no verdict on
    unfit: int  # pairs that are no conversation of question and answer
    trusted: bool  # better than chance, on answers of known order
    sentences: Sequence[str]  # what its card says

    def ratings(self, pairs: Sequence[ShadowPair]) -> list[Rating]:
        """Return what was said of each pair, as a rating of its user's."""
        return [
            Rating(pair.at, pair.id, pair.user, "shadow", float(self.values[pair.id]))
            for pair in pairs
            if pair.id in self.values
        ]


def pairs_of(table: sqlite3.Connection, pairing: Pairing) -> list[ShadowPair]:
    """Return the pairs of which both answers came to an end, in order; those that can count."""
    query = """
    SELECT e.id, e.at, e.user, e.messages, e.answer AS control, s.answer AS candidate
    FROM exchanges AS s JOIN exchanges AS e ON e.id = s.shadow_of
    WHERE s.arm = 'shadow' AND s.adapter = :candidate AND e.adapter = :control
      AND s.deal = :deal AND e.deal = :deal AND e.at >= :since
      AND s.finish IN ('stop', 'length') AND e.finish IN ('stop', 'length') ORDER BY e.at, e.id
    """
    values = {"control": pairing.control.digest, "candidate": pairing.candidate.digest}
    rows = table.execute(query, {**values, "deal": pairing.deal, "since": pairing.since})
    pairs = (
        ShadowPair(
            row["id"],
            row["at"],
            row["user"],
            tuple(json.loads(row["messages"])),
            row["control"],
            row["candidate"],
        )
        for row in rows
    )
    return list(first_of_users(pairs))
