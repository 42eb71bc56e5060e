"""A forest plot, row by row: an arm's difference to the best, its interval, and the margin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loraflow.compare.arms import Comparison, Gap
from loraflow.page.charts.scale import Scale, finite, short
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import VERDICTS, Said, by_quality, verdict_of

_ROOM = 0.04  # of the span, left free at each end
_TICKS = 4


@dataclass(frozen=True)
class ForestRow:
    """An arm; places in percent from the left, less quality on the left."""

    arm: Arm
    verdict: str
    said: Said
    gap: Gap | None  # None: the best itself
    at: float
    span: tuple[float, float] | None  # start and width of the interval


@dataclass(frozen=True)
class Forest:
    """All arms on one scale, the best first."""

    rows: Sequence[ForestRow]
    zero: float
    strip: tuple[float, float]  # start and width of the margin
    ticks: Sequence[tuple[float, str]]


def draw_forest(page: RankPage, comparison: Comparison) -> Forest:
    """Return the plot. What is better stands on the right, also where less of it is better."""
    sign = 1 if page.larger_is_better else -1
    ends = [0.0, -comparison.margin]
    for gap in comparison.gaps.values():
        found = gap.difference
        ends += [sign * end for end in (found.mean, found.low, found.high)]
    ends = finite(ends)
    room = _ROOM * (max(ends) - min(ends))
    scale = Scale(min(ends) - room, max(ends) + room, 0, 100)
    zero, margin = scale(0), scale(-comparison.margin)
    return Forest(
        [_row(comparison, arm, scale, sign) for arm in by_quality(page, comparison)],
        zero,
        (margin, round(zero - margin, 1)),
        [(scale(tick), _signed(sign * tick)) for tick in scale.ticks(_TICKS)],
    )


def _row(comparison: Comparison, arm: Arm, scale: Scale, sign: int) -> ForestRow:
    verdict = verdict_of(comparison, arm.name)
    gap = comparison.gaps.get(arm.name)
    if gap is None:
        return ForestRow(arm, verdict, VERDICTS[verdict], None, scale(0), None)
    found = gap.difference
    at = scale(sign * found.mean)
    span = None
    if math.isfinite(found.high - found.low):
        low, high = sorted((scale(sign * found.low), scale(sign * found.high)))
        span = (low, round(high - low, 1))
    return ForestRow(arm, verdict, VERDICTS[verdict], gap, at, span)


def _signed(value: float) -> str:
    return f"+{short(value)}" if value > 0 else short(value + 0.0)
