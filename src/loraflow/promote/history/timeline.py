"""The time axis that all charts of the page share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from loraflow.page.charts.scale import Box, Scale, short_all
from loraflow.page.charts.svg import fit, line, write
from loraflow.promote.history.nights import Night

_STEPS = (1, 2, 3, 7, 14, 30, 61, 91, 182, 365, 730, 1826)  # days between ticks
_ROOM = 62.0  # units of a tick's words
_LONG = 300  # days from which on months are written with their year
_EDGE = 0.5  # days free at either end, at least
_DAY = 86_400


@dataclass(frozen=True)
class Timeline:
    """Where nights stand across, in a box."""

    box: Box
    across: Scale  # days

    @classmethod
    def over(cls, nights: Sequence[Night], box: Box) -> "Timeline":
        """Lay out all nights."""
        days = [night.at for night in nights]
        first, last = min(days, default=0.0), max(days, default=0.0)
        edge = max(_EDGE, 0.015 * (last - first))
        return cls(box, Scale(first - edge, last + edge, box.left, box.right))

    def x(self, night: Night) -> float:
        """Return the place of a night."""
        return self.across(night.at)

    def frame(self, up: Scale, name: str) -> Markup:
        """Return the axes: dates along the bottom, round numbers up the left side."""
        box = self.box
        heights = up.ticks(max(3, int((box.bottom - box.top) / 36)))
        parts = [line((box.left, up(one)), (box.right, up(one)), "grid") for one in heights]
        parts += [
            write(box.left - 8, up(one), words, anchor="end")
            for one, words in zip(heights, short_all(heights), strict=True)
        ]
        parts.append(write(2, box.top - 16, fit(name, box.right), look="axis"))
        return Markup().join([*parts, *self.dates(box.bottom)])

    def dates(self, height: float) -> Iterator[Markup]:
        """Yield the line along the bottom, and dates below it."""
        yield line((self.box.left, height), (self.box.right, height), "floor")
        for day, words in self._ticks():
            yield line((self.across(day), height), (self.across(day), height + 4), "floor")
            yield write(self.across(day), height + 16, words, anchor="middle")

    def _ticks(self) -> Iterator[tuple[float, str]]:
        low, high = self.across.low, self.across.high
        most = max(1, int((self.box.right - self.box.left) / _ROOM))
        step = next((one for one in _STEPS if (high - low) / one <= most), _STEPS[-1])
        form = "%b %Y" if high - low > _LONG else "%d %b"
        first = int(high) if high - low < 2 * step else int(low) + 1
        for day in range(first, int(high) + 1, step):
            yield float(day), f"{datetime.fromtimestamp(day * _DAY, UTC):{form}}".lstrip("0")
