"""Axes of a chart: where a value stands, which ticks are shown, and the frame around them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 44

_TICKS = 5
_MOST_TICKS = 10
_SERIES = 6  # colours and dashes that can be told apart


@dataclass(frozen=True)
class Axis:
    """Brings values to positions between two ends of the picture, in its units."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    marks: Sequence[float] | None = None  # ticks; None: round numbers

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        low, high, at = (self._bent(one) for one in (self.low, self.high, value))
        share = 0.5 if high == low else (at - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Return the values that are written beside the axis."""
        if self.marks is not None:
            return list(self.marks[:: math.ceil(len(self.marks) / _MOST_TICKS)])
        if self.log:
            lowest, highest = math.floor(self._bent(self.low)), math.ceil(self._bent(self.high))
            apart = max(1, math.ceil((highest - lowest) / _TICKS))
            powers = [2.0**power for power in range(lowest, highest + 1, apart)]
            return [power for power in powers if self.low <= power <= self.high]
        step = _round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step)
        return [place * step for place in range(first, math.floor(self.high / step) + 1)]

    def _bent(self, value: float) -> float:
        return math.log2(max(value, 1e-12)) if self.log else value


def horizontal(values: Sequence[float], *, log: bool = False, exact: bool = False) -> Axis:
    """Return an axis along the bottom; `exact` writes just the values that there are."""
    low, high = _ends(values, log=log)
    marks = sorted(set(values)) if exact else None
    return Axis(low, high, LEFT, WIDTH - RIGHT, log, marks)


def vertical(values: Sequence[float], *, height: float = HEIGHT) -> Axis:
    """Return an axis up the left side."""
    low, high = _ends(values, log=False)
    return Axis(low, high, height - BOTTOM, TOP)


def frame(across: Axis, up: Axis, *, across_name: str, up_name: str) -> Markup:
    """Return grid lines, ticks and names of the axes."""
    parts = [
        Markup('<g class="grid"><line x1="{}" x2="{}" y1="{}" y2="{}"/></g>').format(
            across.start, across.end, up(tick), up(tick)
        )
        + text(across.start - 8, up(tick), short(tick), "end")
        for tick in up.ticks()
    ]
    parts += [text(across(tick), up.start + 18, short(tick), "middle") for tick in across.ticks()]
    middle = (across.start + across.end) / 2
    parts.append(text(middle, up.start + 36, across_name, "middle", "name"))
    turned = Markup('<text class="name" text-anchor="middle" transform="{}">{}</text>')
    parts.append(turned.format(f"translate(14 {(up.start + up.end) / 2}) rotate(-90)", up_name))
    return Markup().join(parts)


def picture(parts: Sequence[Markup], label: str, *, height: float = HEIGHT) -> Markup:
    """Return the whole chart; `label` says in words what it shows."""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, label, Markup().join(parts)
    )


def text(x: float, y: float, words: str, anchor: str, look: str = "tick") -> Markup:
    """Return a word of the chart."""
    return Markup(
        '<text class="{}" x="{}" y="{}" text-anchor="{}" dominant-baseline="middle">{}</text>'
    ).format(look, round(x, 1), round(y, 1), anchor, words)


def title(words: str) -> Markup:
    """Return what is shown when a mark is pointed at."""
    return Markup("<title>{}</title>").format(words)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the way through points."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def series(place: int) -> str:
    """Return the class of a series: its colour and dashes."""
    return f"s{place % _SERIES}"


def short(value: float) -> str:
    """Return a number for a tick: 0.25, 64, 1.2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.4g}"


def finite(values: Iterator[float] | Sequence[float]) -> list[float]:
    """Return the values that are numbers."""
    return [value for value in values if math.isfinite(value)]


def _ends(values: Sequence[float], *, log: bool) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if log:
        return low / 1.25, high * 1.25
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _round_step(step: float) -> float:
    size = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(size * one for one in (1, 2, 2.5, 5, 10) if size * one >= step)
