"""How the rank report writes numbers, arms and verdicts, everywhere alike."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from loraflow.compare.arms import Comparison, Gap
from loraflow.compare.statistics import Interval
from loraflow.evaluate.report.numbers import digits_of
from loraflow.sweep.report.content import Arm, RankPage, Trial

MISSING = "\u2013"  # a dash
_STATES = ("finished", "pruned", "failed", "waiting")


@dataclass(frozen=True)
class Said:
    """A verdict or a state as a sign and a class, so that no colour is needed to read it."""

    sign: str
    look: str


VERDICTS: Mapping[str, Said] = {
    "best": Said("★", "best"),
    "equivalent": Said("✓", "good"),
    "worse, within the margin": Said("≈", "near"),
    "cannot tell": Said("?", "open"),
    "worse": Said("✗", "bad"),
}
STATES: Mapping[str, Said] = {
    "finished": Said("✓", "finished"),
    "pruned": Said("✂", "pruned"),
    "failed": Said("✗", "failed"),
    "waiting": Said("…", "waiting"),
}


def number(page: RankPage, value: float) -> str:
    """Return a value of the metric; a dash where it is not a number."""
    return f"{value:.{digits_of(page.metric)}f}" if math.isfinite(value) else MISSING


def with_interval(page: RankPage, found: Interval) -> str:
    """Return a value with its interval: 0.269 (0.231 to 0.310)."""
    if not math.isfinite(found.high - found.low):
        return f"{number(page, found.value)} (no interval)"
    return f"{found:.{digits_of(page.metric)}f}"


def gap_text(page: RankPage, gap: Gap) -> str:
    """Return a difference with its interval: -0.012 (-0.020 to -0.004)."""
    digits = digits_of(page.metric)
    low, high = gap.difference.low, gap.difference.high
    if not math.isfinite(high - low):
        return f"{gap.difference.mean:+.{digits}f} (no interval)"
    return f"{gap.difference.mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def small(value: float) -> str:
    """Return a p-value or a smallest difference with two digits that count."""
    return f"{value:.2g}" if math.isfinite(value) else MISSING


def verdict_of(comparison: Comparison, arm: str) -> str:
    """Return what is known of an arm: best, or its verdict against the best."""
    return "best" if arm == comparison.best else comparison.gaps[arm].verdict


def in_order(page: RankPage) -> list[Arm]:
    """Return the arms as tables have them: controls first, then by size."""
    return sorted(page.arms, key=lambda arm: (not arm.is_control, arm.trainable_parameters))


def by_quality(page: RankPage, comparison: Comparison) -> list[Arm]:
    """Return the compared arms, the best first."""
    sign = -1 if page.larger_is_better else 1
    known = [arm for arm in page.arms if arm.name in comparison.arms]

    def loss(arm: Arm) -> float:
        return sign * comparison.arms[arm.name].value.value

    return sorted(known, key=lambda arm: (arm.name != comparison.best, loss(arm)))


def marks(page: RankPage) -> dict[str, str]:
    """Return the arms that the recommendation speaks of, and what it says of each."""
    comparison, found = page.comparison, page.recommendation
    if comparison is None:
        return {}
    marked = {comparison.best: "best"}
    if found is None or found.kind == "no gain":
        return marked
    if found.inside_noise != found.arm:
        marked[found.inside_noise] = "may be enough"
    if found.kind == "enough" and found.arm is not None:
        marked[found.arm] = "enough"
    return marked


def direction(page: RankPage) -> str:
    """Return which end of the metric is good."""
    return "higher is better" if page.larger_is_better else "lower is better"


def not_finished(page: RankPage) -> list[Trial]:
    """Return trials that have no number, and why: what failed comes first."""
    left = [trial for trial in page.trials if trial.state != "finished"]
    order = ("failed", "waiting", "pruned")
    return sorted(left, key=lambda trial: order.index(trial.state))


def count_states(page: RankPage) -> str:
    """Return how many trials ended how: 36 finished, 1 failed."""
    states = [trial.state for trial in page.trials]
    return ", ".join(f"{states.count(one)} {one}" for one in _STATES if one in states)
