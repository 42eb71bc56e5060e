"""Says in words which of two arms is better, or how much is missing to tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from loraflow.compare.sequential import (
    Followed,
    Verdict,
    block_of,
    differences,
    follow,
    values_needed,
)
from loraflow.serve.traffic.arms import Kind
from loraflow.serve.traffic.ratings import Votes

DIFFERENCES = (0.05, 0.1, 0.2)  # of which it is told how many votes they take
_USUAL, _SMALL = 0.1, 0.05  # those that the verdict names

_BASE_VARIANCE = 0.24  # of a thumb that is up six times in ten
_PAIR_VARIANCE = 0.5  # of a judged pair: half of them ties
_EARLIER = 20  # blocks that the usual variance counts for, beside what was seen
_HEADS = {
    "better": "The candidate is better",
    "worse": "The candidate is worse",
    "open": "Not yet told apart",
    "changed": "The difference changed meanwhile",
}


@dataclass(frozen=True)
class Needed:
    """How many votes a difference of that size would take."""

    difference: float
    votes: int  # in all
    more: int  # than there are


@dataclass(frozen=True)
class Finding:
    """What can be said now, and could be said before."""

    kind: Kind
    verdict: Verdict
    followed: Followed  # an entry a block
    came: Sequence[int]  # votes by the end of each block
    block: tuple[int, int]  # votes of control and of candidate; a judged pair has both in one
    votes: int
    waiting: int  # users whose vote is not cast yet
    needed: Sequence[Needed]

    @property
    def head(self) -> str:
        """Return the verdict in a few words."""
        return _HEADS[self.verdict]

    @property
    def sentence(self) -> str:
        """Return the verdict with its evidence."""
        mark = ";" if self.verdict == "open" else ":"
        return f"{self.head}{mark} {self.evidence}"

    @property
    def evidence(self) -> str:
        """Return what the verdict stands on, or what is missing for one."""
        if self.verdict == "changed":
            return (
                "no single difference fits all votes, so users or their questions were others at "
                "first than later; begin again with another serve.traffic.salt"
            )
        if self.verdict == "open":
            return _missing(self.needed)
        ends = sorted(100 * abs(end) for end in (self.followed.low[-1], self.followed.high[-1]))
        more = "more" if self.verdict == "better" else "fewer"
        what = "thumbs up" if self.kind == "split" else "wins than losses"
        return f"{ends[0]:.0f} to {ends[1]:.0f} {more} {what} in 100"


def find_split(votes: Votes, share: float) -> Finding:
    """Return what users' votes on two arms say; the candidate gets `share` of the users."""
    block = block_of(share)
    values, came = differences(
        ((vote.arm == "candidate", vote.value) for vote in votes.cast), block
    )
    return _finding(
        "split",
        _Blocks(values, came, block, max(block[0] / (1 - share), block[1] / share)),
        votes,
        usual_variance=_BASE_VARIANCE * (1 / block[0] + 1 / block[1]),
    )


def find_shadow(votes: Votes) -> Finding:
    """Return what a judge's votes say: 1 where the candidate won, -1 where it lost, 0 for a tie."""
    values = [vote.value for vote in votes.cast]
    blocks = _Blocks(values, list(range(1, len(values) + 1)), (0, 1), votes_each=1)
    return _finding("shadow", blocks, votes, usual_variance=_PAIR_VARIANCE)


@dataclass(frozen=True)
class _Blocks:
    """Differences, in the order in which they came."""

    values: Sequence[float]
    came: Sequence[int]  # votes by the end of each block
    block: tuple[int, int]
    votes_each: float  # that come until one is full, on average


def _finding(kind: Kind, blocks: _Blocks, votes: Votes, *, usual_variance: float) -> Finding:
    followed = follow(blocks.values)
    count = len(blocks.values)
    seen = count * followed.variance if count else 0.0
    variance = (seen + _EARLIER * usual_variance) / (count + _EARLIER)
    return Finding(
        kind=kind,
        verdict=followed.verdict,
        followed=followed,
        came=blocks.came,
        block=blocks.block,
        votes=len(votes.cast),
        waiting=votes.open,
        needed=[_needed(one, variance, count, blocks.votes_each) for one in DIFFERENCES],
    )


def _needed(difference: float, variance: float, blocks: int, votes_each: float) -> Needed:
    count = values_needed(difference, variance)
    more = max(0, count - blocks)
    return Needed(difference, ceil(count * votes_each), ceil(more * votes_each))


def _missing(needed: Sequence[Needed]) -> str:
    """Name what a usual difference takes; a smaller one, where that would be known by now."""
    usual, small = (next(one for one in needed if one.difference == d) for d in (_USUAL, _SMALL))
    named = usual if usual.more else small
    if not named.more:
        return f"the difference seems to be smaller than {named.difference:g}"
    votes = f"{_round(named.more):,} more vote{'s' if named.more > 1 else ''}"
    return f"about {votes} for a difference of {named.difference:g}"


def _round(count: int) -> int:
    """Return two digits of a count: more would promise too much."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit
