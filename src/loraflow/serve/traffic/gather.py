"""Reads all that the page and the terminal show of an A/B test, of one moment."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loraflow.compare.sequential import Verdict
from loraflow.config.serve import TrafficConfig
from loraflow.serve.traffic.arms import ArmSummary, Pairing, pairing_of, summary_of
from loraflow.serve.traffic.ratings import Rating, Said, Votes, latest, ratings_of, votes_of
from loraflow.serve.traffic.shadows import Judged, ShadowPair, pairs_of
from loraflow.serve.traffic.verdict import Finding, find_shadow, find_split

_LATEST = 20  # downvoted answers that are shown


@dataclass(frozen=True)
class Complaint:
    """An answer that a user voted down."""

    id: str
    at: float
    arm: str
    question: str
    earlier: int  # messages before the question
    answer: str
    text: str  # what the user said
    better: str
    finish: str


@dataclass(frozen=True)
class Traffic:
    """What is in the log of the comparison that runs, or ran last."""

    pairing: Pairing
    arms: tuple[ArmSummary, ArmSummary]  # control, candidate
    votes: Votes  # of users, on split arms
    ratings: Sequence[Rating]
    pairs: Sequence[ShadowPair]  # that a judge may compare
    complaints: Sequence[Complaint]
    until: float  # the last that was logged


@dataclass(frozen=True)
class Report:
    """What is shown."""

    traffic: Traffic
    finding: Finding
    votes: Votes  # that the finding is made of
    judged: Judged | None  # None: users decide, or nobody has been asked
    why_not: str  # why no judge was asked, where one is needed
    now: float

    @property
    def is_told(self) -> bool:
        """Tell whether somebody was asked who can tell."""
        return not self.why_not and (self.judged is None or self.judged.trusted)

    @property
    def verdict(self) -> Verdict:
        """Say which is better; what a judge says that cannot tell is no verdict."""
        return self.finding.verdict if self.is_told else "open"

    @property
    def head(self) -> str:
        """Return the verdict in a few words."""
        if self.why_not:
            return "Not judged"
        return self.finding.head if self.is_told else "The judge cannot tell"

    @property
    def sentence(self) -> str:
        """Return the verdict with its evidence, in one line."""
        return self.finding.sentence if self.is_told else self.head


def read_traffic(table: sqlite3.Connection, now: float) -> Traffic | None:
    """Return what the log says by `now`; None if no two adapters were ever compared."""
    pairing = pairing_of(table)
    if pairing is None:
        return None
    said = latest(table)
    ratings = ratings_of(table, pairing.adapters, deal=pairing.deal, since=pairing.since)
    (until,) = table.execute("SELECT max(at) FROM exchanges").fetchone()
    return Traffic(
        pairing=pairing,
        arms=(
            summary_of(table, pairing, pairing.control, said),
            summary_of(table, pairing, pairing.candidate, said),
        ),
        votes=votes_of(ratings, now),
        ratings=ratings,
        pairs=pairs_of(table, pairing) if pairing.kind == "shadow" else [],
        complaints=_complaints(table, pairing, said),
        until=until,
    )


def report_on(
    traffic: Traffic, settings: TrafficConfig, judged: Judged | None, *, why_not: str, now: float
) -> Report:
    """Return the report: users' votes decide between split arms, a judge's where one is unseen.

    The share of `settings` counts where the log does not say what it was.
    """
    if traffic.pairing.kind == "split":
        finding = find_split(traffic.votes, traffic.pairing.share or settings.share)
        return Report(traffic, finding, traffic.votes, None, "", now)
    votes = votes_of([] if judged is None else judged.ratings(traffic.pairs), now)
    return Report(traffic, find_shadow(votes), votes, judged, why_not, now)


def _complaints(
    table: sqlite3.Connection, pairing: Pairing, said: Mapping[str, Said]
) -> list[Complaint]:
    """Return the latest answers that were voted down, the newest first."""
    query = """
    SELECT id, at, arm, adapter, messages, answer, finish FROM exchanges WHERE deal = ? AND at >= ?
    AND id IN (SELECT id FROM ratings WHERE rating = 'down') ORDER BY at DESC, id
    """
    found: list[Complaint] = []
    for row in table.execute(query, (pairing.deal, pairing.since)):
        what = said[row["id"]]
        if what.rating != "down" or pairing.adapters.get(row["arm"]) != row["adapter"]:
            continue
        messages = json.loads(row["messages"])
        found.append(
            Complaint(
                id=row["id"],
                at=row["at"],
                arm=row["arm"],
                question=messages[-1]["content"] if messages else "",
                earlier=max(0, len(messages) - 1),
                answer=row["answer"],
                text=what.text,
                better=what.better,
                finish=row["finish"],
            )
        )
        if len(found) == _LATEST:
            break
    return found
