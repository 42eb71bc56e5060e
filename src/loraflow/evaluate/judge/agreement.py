"""How far a judge agrees with people who compared the same answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from loraflow.compare.statistics import Interval, clustered_share
from loraflow.errors import UserError
from loraflow.evaluate.judge.base import Game, Verdict
from loraflow.evaluate.judge.ratings import Winner

_TEXTS = ("question", "answer_a", "answer_b")
_SIDES: tuple[Winner, ...] = ("a", "b", "tie")
_KEY = "judge.human_labels"


@dataclass(frozen=True)
class Vote:
    """Two answers, and which of them a person found better."""

    game: Game
    winner: Winner


@dataclass(frozen=True)
class Agreement:
    """Raw agreement, and what is left of it beyond chance."""

    items: int
    raw: Interval | None  # None: no items
    kappa: Interval | None  # Cohen's; None too where both always say the same one thing


@dataclass(frozen=True)
class Agreements:
    """Agreement on all items, and on those where neither the judge nor the person saw a tie."""

    with_ties: Agreement
    without_ties: Agreement
    failures: int  # games without a verdict, which are in neither

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


def read_votes(path: Path) -> list[Vote]:
    """Read the votes of people from a file of JSON lines.

    Raises:
        UserError: with the line, for what is no vote.

    Example:
        {"question": "...", "answer_a": "...", "answer_b": "...", "winner": "a"}
        with "b" or "tie" for the others; FastChat's "model_a" and "tie (inconsistent)" do too
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{_KEY}={path} cannot be read: {error}; name a JSON-lines file") from error
    votes = [_vote(line, f"{path}:{n}") for n, line in enumerate(lines, start=1) if line.strip()]
    if not votes:
        raise UserError(f"{_KEY}={path} holds no votes; add some, or set it to null")
    return votes


def measure_agreement(
    votes: Sequence[Vote], verdicts: Sequence[Verdict], *, seed: int
) -> Agreements:
    """Compare a judge's verdicts with the votes on the same games, as FastChat does.

    Intervals are drawn by question, since votes on one question are not independent.
    """
    rows = [
        (vote.game.questions, vote.winner, verdict.winner)
        for vote, verdict in zip(votes, verdicts, strict=True)
        if verdict.winner is not None
    ]
    decided = [row for row in rows if "tie" not in row[1:]]
    return Agreements(
        _measure(rows, seed), _measure(decided, seed), failures=len(verdicts) - len(rows)
    )


def _vote(line: str, place: str) -> Vote:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise UserError(f"{_KEY}={place} is no JSON ({error}); mend the line") from error
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in _TEXTS):
        raise UserError(
            f"{_KEY}={place} must hold the texts {', '.join(_TEXTS)}; add what is not there"
        )
    return Vote(
        Game(place, (row["question"],), (row["answer_a"],), (row["answer_b"],)),
        _winner(row, place),
    )


def _winner(row: Mapping[str, Any], place: str) -> Winner:
    said = str(row.get("winner")).removeprefix("model_")
    if said.startswith("tie"):
        return "tie"
    for side in _SIDES:
        if said == side:
            return side
    raise UserError(f'{_KEY}={place}: winner={row.get("winner")!r} must be "a", "b" or "tie"')


def _measure(rows: Sequence[tuple[tuple[str, ...], Winner, Winner]], seed: int) -> Agreement:
    if not rows:
        return Agreement(0, None, None)
    questions, votes, verdicts = zip(*rows, strict=True)
    agreed = [float(vote == verdict) for vote, verdict in zip(votes, verdicts, strict=True)]
    raw = clustered_share(agreed, questions, seed=seed)
    chance = sum(votes.count(side) * verdicts.count(side) for side in _SIDES) / len(rows) ** 2
    return Agreement(len(rows), raw, _kappa(raw, chance))


def _kappa(raw: Interval, chance: float) -> Interval | None:
    """Return Cohen's kappa; its bounds are those of raw agreement, chance held (Cohen 1960).

    None where chance alone would always agree.
    """
    if chance == 1:
        return None
    return Interval(*((share - chance) / (1 - chance) for share in astuple(raw)))
