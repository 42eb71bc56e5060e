"""Scales of charts: where a value stands, which ticks are written, and the frame around them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loraflow.page.charts.svg import fit, line, width_of, write

_NICE = (1, 2, 2.5, 5, 10)
_DECADES = 2.5  # up to so many, 2 and 5 are written between powers of ten
_APART = 8.0  # units between two ticks' words
_ROOM = 0.06  # of the span, left free at each end


@dataclass(frozen=True)
class Scale:
    """Brings values to places between two ends of the drawing."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    marks: Sequence[float] | None = None  # ticks; None: round numbers

    def __call__(self, value: float) -> float:
        """Return the place of a value; what lies outside stands at the edge."""
        low, high, at = (self._bent(one) for one in (self.low, self.high, value))
        share = 0.5 if high == low else min(1.0, max(0.0, (at - low) / (high - low)))
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int = 6) -> list[float]:
        """Return the values that are written beside the axis."""
        if self.marks is not None:
            return list(self.marks)
        found = _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, most)
        return [tick for tick in found if self.low <= tick <= self.high]

    def _bent(self, value: float) -> float:
        return math.log2(max(value, 1e-12)) if self.log else value


@dataclass(frozen=True)
class Box:
    """The room of a plot inside its drawing."""

    left: float
    top: float
    right: float
    bottom: float

    def across(
        self, values: Iterable[float], *, log: bool = False, marks: Sequence[float] | None = None
    ) -> Scale:
        """Return the scale along the bottom."""
        low, high = _ends(finite(values), log=log)
        return Scale(low, high, self.left, self.right, log, marks)

    def up(self, values: Iterable[float]) -> Scale:
        """Return the scale up the left side."""
        low, high = _ends(finite(values), log=False)
        return Scale(low, high, self.bottom, self.top)


def frame(box: Box, across: Scale, up: Scale, *, names: tuple[str, str]) -> Markup:
    """Return grid lines, ticks, and the names of both scales: across, up."""
    heights = up.ticks(max(3, int((box.bottom - box.top) / 45)))
    parts = [line((box.left, up(tick)), (box.right, up(tick)), "grid") for tick in heights]
    parts += [
        write(box.left - 8, up(tick), words, anchor="end")
        for tick, words in zip(heights, short_all(heights), strict=True)
    ]
    parts.append(line((box.left, box.bottom), (box.right, box.bottom), "floor"))
    parts += [
        write(across(tick), box.bottom + 16, words, anchor="middle")
        for tick, words in _thinned(across)
    ]
    middle = (box.left + box.right) / 2
    room = box.right - box.left
    parts.append(write(middle, box.bottom + 36, fit(names[0], room), anchor="middle", look="axis"))
    parts.append(write(box.left - 8, box.top - 14, fit(names[1], room), look="axis"))
    return Markup().join(parts)


def short(value: float, digits: int = 3) -> str:
    """Return a number briefly: 0.25, 64, 57.6k, 1.2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.{digits}g}{letter}"
    return f"{value:.{digits + 1}g}".replace("-", "\u2212")


def short_all(values: Sequence[float]) -> list[str]:
    """Return numbers with so many digits that no two of them look the same."""
    found: list[str] = []
    for digits in range(3, 10):
        found = [short(value, digits) for value in values]
        if len(set(found)) == len(set(values)):
            break
    return found


def finite(values: Iterable[float]) -> list[float]:
    """Return the values that are numbers."""
    return [value for value in values if math.isfinite(value)]


def is_wide(values: Sequence[float]) -> bool:
    """Tell whether positive values span so much that a logarithm shows them better."""
    return min(values, default=0) > 0 and max(values) / min(values) >= 8  # noqa: PLR2004


def _thinned(across: Scale) -> list[tuple[float, str]]:
    """Return the ticks whose words do not touch."""
    kept: list[tuple[float, str]] = []
    last = -math.inf
    for tick, words in zip(across.ticks(), short_all(across.ticks()), strict=True):
        reach = width_of(words) / 2
        if across(tick) - reach > last + _APART:
            kept.append((tick, words))
            last = across(tick) + reach
    return kept


def _ends(values: Sequence[float], *, log: bool) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if log:
        room = (high / low) ** _ROOM if high > low else 2.0
        return low / room, high * room
    wide = _ROOM * (high - low) or abs(high) * 0.1 or 1.0
    return low - wide, high + wide


def _ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(size * one for one in _NICE if size * one >= rough)
    return [
        round(place * step, 12) for place in range(math.ceil(low / step), int(high // step) + 1)
    ]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if math.log10(high / low) <= _DECADES else (1,)
    return [step * 10.0**power for power in range(first, last + 1) for step in steps]
