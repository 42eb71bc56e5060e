"""How the report shows the texts and the numbers of single items."""

import math

from loraflow.evaluate.report.lists import Metric, Pair
from loraflow.evaluate.report.numbers import plain, signed
from loraflow.page.text import script_of

_MOST_LINES = 9  # of a text that is shown whole
_MOST_LETTERS = 2_000  # looked at: more never fit

_GAIN, _LOSS = "▲", "▼"


def is_long(text: str, letters: int) -> bool:
    """Tell whether a text is better folded, where a line has room for so many Latin letters."""
    text = text[:_MOST_LETTERS]
    room = letters // 2 if script_of(text) else letters
    return sum(1 + len(line) // room for line in text.split("\n")) > _MOST_LINES


def change(pair: Pair, metric: Metric) -> str:
    """Return what an item has gained or lost; no sign where neither is better."""
    base, tuned = pair
    if base is None or tuned is None or math.isnan(tuned - base):
        return ""
    text = signed(tuned - base, metric.digits)
    if text == plain(0, metric.digits):
        return "="
    if metric.larger_is_better is None:
        return text
    is_gain = (tuned > base) == metric.larger_is_better
    return f"{_GAIN if is_gain else _LOSS} {text}"
