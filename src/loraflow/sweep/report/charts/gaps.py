"""Differences to the best arm: a dot and an interval on one scale, beside the margin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loraflow.compare.arms import Comparison, Gap
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import in_order

_ROOM = 1.08

SIGNS = {"worse": "✗", "worse, within the margin": "≈", "equivalent": "✓", "cannot tell": "?"}


@dataclass(frozen=True)
class GapRow:
    """A row of the table; positions in percent from the left, less quality on the left."""

    arm: Arm
    gap: Gap | None  # None: the best itself
    at: float
    low: float
    width: float
    strip: tuple[float, float]  # start and width of the margin
    zero: float
    sign: str


def gap_rows(page: RankPage, comparison: Comparison) -> Sequence[GapRow]:
    """Return the rows, controls first, then by size."""
    sign = 1 if page.larger_is_better else -1
    ends = [0.0, comparison.margin]
    for one in comparison.gaps.values():
        found = (one.difference.low, one.difference.high)
        ends += [-sign * end for end in found if math.isfinite(end)]
    lost, gained = max(ends), -min(ends)
    whole = _ROOM * (lost + gained) or 1.0

    def place(difference: float) -> float:
        return round(100 * (sign * difference + lost) / whole + 50 * (1 - 1 / _ROOM), 2)

    zero = place(0)
    strip = place(-sign * comparison.margin)
    rows = []
    for arm in in_order(page):
        gap = comparison.gaps.get(arm.name)
        if gap is None:
            rows.append(GapRow(arm, None, zero, zero, 0, (strip, zero - strip), zero, "★"))
            continue
        edges = sorted((place(gap.difference.low), place(gap.difference.high)))
        rows.append(
            GapRow(
                arm,
                gap,
                place(gap.difference.mean),
                edges[0],
                round(edges[1] - edges[0], 2),
                (strip, round(zero - strip, 2)),
                zero,
                SIGNS[gap.verdict],
            )
        )
    return rows
