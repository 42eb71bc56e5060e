"""How the rank report writes numbers and arms, everywhere alike."""

from loraflow.compare.arms import Gap
from loraflow.compare.statistics import Interval
from loraflow.sweep.report.content import Arm, RankPage, Trial

_DIGITS = {"bleu": 2, "chrf": 1, "perplexity": 2, "judge_rating": 2}


def digits_of(metric: str) -> int:
    """Return how many digits behind the point say something."""
    return _DIGITS.get(metric, 3)


def number(page: RankPage, value: float) -> str:
    """Return a value of the metric."""
    return f"{value:.{digits_of(page.metric)}f}"


def with_interval(page: RankPage, found: Interval) -> str:
    """Return a value with its interval: 0.269 (0.231 to 0.310)."""
    return f"{found:.{digits_of(page.metric)}f}"


def gap_text(page: RankPage, gap: Gap) -> str:
    """Return a difference with its interval: -0.012 (-0.020 to -0.004)."""
    digits = digits_of(page.metric)
    low, high = gap.difference.low, gap.difference.high
    return f"{gap.difference.mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def in_order(page: RankPage) -> list[Arm]:
    """Return the arms as tables have them: controls first, then by size."""
    return sorted(page.arms, key=lambda arm: (not arm.is_control, arm.trainable_parameters))


def not_finished(page: RankPage) -> list[Trial]:
    """Return trials that have no number, and why."""
    return [trial for trial in page.trials if trial.state != "finished"]
