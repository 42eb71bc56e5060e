"""How many items and seeds would settle whether an arm is as good as the best."""

import math
from collections.abc import Callable

from loraflow.compare.arms import POWER, Comparison
from loraflow.compare.pairs import LEVEL, fewest_alike
from loraflow.compare.variance import Spread


def needed(comparison: Comparison, arm: str) -> tuple[int | None, int | None]:
    """Return the items and the seeds of each arm that would settle an arm; None: there are enough.

    So many that an arm as good as the best is itself the best, or is shown to be within the margin,
    with a probability of 80%. Arms not yet shown within share the level, as in Holm's correction;
    arms inside the noise share the 20%, for each may come out so far above by chance that `arm`
    looks worse (Bonferroni). More items make the part of the items smaller, more seeds that of the
    seeds, which may have half of what the margin allows.
    """
    spread = comparison.gaps[arm].spread
    level, missed = _shares(comparison)
    if spread.error == 0:
        return _more(fewest_alike(level), comparison.items), None
    now = [len(comparison.arms[one].seeds) for one in (arm, comparison.best)]
    fewest = min(now)

    def settles(items: float, seeds: int, margin: float) -> bool:
        planned = _planned(
            spread,
            items=items / comparison.items,
            seeds=seeds * sum(1 / count for count in now) / 2,
            more_degrees=len(comparison.gaps) * (seeds - fewest),
        )
        reach = planned.quantile(level) + planned.quantile(missed)
        return reach * planned.error <= margin

    half = comparison.margin / math.sqrt(2)  # of the variance
    seeds = _first(fewest, lambda count: settles(math.inf, count, half)) if spread.seeds else fewest
    items = _first(comparison.items, lambda count: settles(count, seeds, comparison.margin))
    return _more(items, comparison.items), _more(seeds, fewest)


def _shares(comparison: Comparison) -> tuple[float, float]:
    """Return the level of one arm, and the probability with which it may be missed."""
    gaps = comparison.gaps.values()
    unsure = sum(not gap.is_within for gap in gaps)
    rivals = sum(gap.p_holm >= LEVEL for gap in gaps)
    return LEVEL / unsure, (1 - POWER) / rivals


def _planned(spread: Spread, *, items: float, seeds: float, more_degrees: float) -> Spread:
    """Return the noise with so many times the items, and the seeds, of now."""
    answers = spread.answers / items / seeds
    return Spread(
        spread.items / items,
        (spread.seeds - spread.answers) / seeds + answers,
        answers,
        spread.item_degrees * items,
        spread.seed_degrees + more_degrees,
    )


def _first(least: int, is_enough: Callable[[int], bool]) -> int:
    """Return the least count that is enough, for what becomes easier with every one more."""
    high = max(1, least)
    while not is_enough(high):
        least, high = high + 1, 2 * high
    while least < high:
        middle = (least + high) // 2
        least, high = (least, middle) if is_enough(middle) else (middle + 1, high)
    return high


def _more(count: int, now: int) -> int | None:
    return count if count > now else None
