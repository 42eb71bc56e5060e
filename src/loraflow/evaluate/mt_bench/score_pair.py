"""Scores of games: FastChat's win rates, and how often the verdict follows the position."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loraflow.compare.statistics import Interval, clustered_share
from loraflow.evaluate.mt_bench.judge_pair import ERROR
from loraflow.evaluate.mt_bench.judging import Judgment, failure_of

_WIN, _TIE, _LOSS = 1.0, 0.5, 0.0  # what a row counts for the model


@dataclass(frozen=True)
class PairScore:
    """How one model did against all that it was compared with."""

    wins: int
    losses: int
    ties: int
    win_rate: Interval | None  # None: no row was judged; all intervals are drawn by question
    loss_rate: Interval | None
    tie_rate: Interval | None
    win_rate_adjusted: Interval | None  # a tie is half a win
    failed: Mapping[str, int]  # rows left out, by kind of failure

    @property
    def n(self) -> int:
        """Count the rows that were judged."""
        return self.wins + self.losses + self.ties


@dataclass(frozen=True)
class PairScores:
    """The scores of all models, and what the judge makes of the order of answers."""

    models: Mapping[str, PairScore]
    flip_rate: Interval | None  # of `decided`: shown in the other order, the other model wins
    decided: int  # rows with a winner in both games
    failed: Mapping[str, int]


def pair_scores(rows: Sequence[Judgment], seed: int = 0) -> PairScores:
    """Return the scores of rows of <judge>_pair.jsonl, FastChat's or ours.

    A model wins a row if it wins both games; all else is a tie. Rows with a failed game are left
    out and counted.
    """
    judged = [row for row in rows if not _has_failed(row)]
    decided = [row for row in judged if "tie" not in (row["g1_winner"], row["g2_winner"])]
    flips = [float(row["g1_winner"] != row["g2_winner"]) for row in decided]
    models = dict.fromkeys(row[side] for row in rows for side in ("model_1", "model_2"))
    return PairScores(
        models={
            model: _score(model, [row for row in rows if _plays(model, row)], seed)
            for model in models
        },
        flip_rate=_rate(flips, decided, seed),
        decided=len(decided),
        failed=_failures(rows),
    )


def winner_of(row: Judgment) -> str:
    """Return what both games say together: model_1, model_2 or tie."""
    winner: str = row["g1_winner"]
    return winner if winner == row["g2_winner"] else "tie"


def _score(model: str, rows: Sequence[Judgment], seed: int) -> PairScore:
    judged = [row for row in rows if not _has_failed(row)]
    points = [_points(model, row) for row in judged]
    counts = Counter(points)
    win, loss, tie = (
        _rate([float(point == kind) for point in points], judged, seed)
        for kind in (_WIN, _LOSS, _TIE)
    )
    return PairScore(
        wins=counts[_WIN],
        losses=counts[_LOSS],
        ties=counts[_TIE],
        win_rate=win,
        loss_rate=loss,
        tie_rate=tie,
        win_rate_adjusted=_rate(points, judged, seed),
        failed=_failures(rows),
    )


def _rate(values: Sequence[float], rows: Sequence[Judgment], seed: int) -> Interval | None:
    """Return the share that the rows' values make; the turns of a question are drawn together."""
    if not rows:
        return None
    return clustered_share(values, [row["question_id"] for row in rows], seed=seed)


def _points(model: str, row: Judgment) -> float:
    winner = winner_of(row)
    if winner == "tie":
        return _TIE
    return _WIN if row[winner] == model else _LOSS


def _plays(model: str, row: Judgment) -> bool:
    return model in (row["model_1"], row["model_2"])


def _has_failed(row: Judgment) -> bool:
    return ERROR in (row["g1_winner"], row["g2_winner"])


def _failures(rows: Sequence[Judgment]) -> dict[str, int]:
    return dict(Counter(failure_of(row) for row in rows if _has_failed(row)))
