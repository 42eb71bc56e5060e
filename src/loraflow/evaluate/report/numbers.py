"""Numbers as the report writes them."""

import math

from loraflow.compare.statistics import Difference, Interval

_MINUS = "\u2212"  # as wide as a plus
_MISSING = "\u2013"  # a dash
_DIGITS = {"bleu": 2, "chrf": 1, "perplexity": 2, "judge_rating": 2}


def digits_of(metric: str) -> int:
    """Return how many digits behind the point say something."""
    return _DIGITS.get(metric, 3)


def plain(value: float | None, digits: int) -> str:
    """Return a number with so many digits behind the point; a dash where there is none."""
    if value is None or math.isnan(value):
        return _MISSING
    text = "∞" if math.isinf(value) else f"{abs(value):,.{digits}f}"
    return f"{_MINUS}{text}" if value < 0 and text.strip("0.") else text


def signed(value: float | None, digits: int) -> str:
    """Return a number with its sign, unless it is rounded to zero."""
    text = plain(value, digits)
    is_more = value is not None and value > 0 and text.strip("0.")
    return f"+{text}" if is_more else text


def span(found: Interval, digits: int) -> str:
    """Return the bounds of a number's interval."""
    return f"{plain(found.low, digits)} to {plain(found.high, digits)}"


def signed_span(found: Difference, digits: int) -> str:
    """Return the bounds of a difference's interval."""
    return f"{signed(found.low, digits)} to {signed(found.high, digits)}"


def share(value: float) -> str:
    """Return a share in percent."""
    return _MISSING if math.isnan(value) else f"{100 * value:.1f}%"


def share_span(found: Interval) -> str:
    """Return the bounds of a share's interval in percent."""
    return f"{share(found.low)} to {share(found.high)}"
