"""A radar of ratings by category, both arms with their intervals, laid out in pixels for SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loraflow.compare.statistics import Interval
from loraflow.evaluate.report.content import ARMS, Score

_FEWEST = 3  # spokes of a shape
_TOPS = {4: 1, 6: 2, 8: 2, 10: 2}  # where the outermost ring may be, and the step of the rings
_WIDTH, _HEIGHT, _RADIUS = 440, 372, 150
_LABEL = 18  # pixels from the outermost ring to the names
_LONGEST = 15  # letters of a name
_ASIDE = 4.0  # pixels from the spoke to the whiskers, so that those of two arms stand apart
_MIDDLE = 0.3  # share of the way, within which a name is centred on its spoke

Point = tuple[float, float]


@dataclass(frozen=True)
class Whisker:
    """An interval along a spoke, and its value on the spoke."""

    arm: str
    category: str
    value: Interval
    items: int
    low: Point
    high: Point
    at: Point


@dataclass(frozen=True)
class Name:
    """A category at the end of its spoke."""

    text: str
    at: Point
    anchor: str
    end: Point  # of the spoke


@dataclass(frozen=True)
class Ring:
    """All places of one rating."""

    rating: int
    radius: float
    label: Point


@dataclass(frozen=True)
class Radar:
    """Shapes of the arms over rings and spokes."""

    width: int
    height: int
    centre: Point
    rings: Sequence[Ring]
    names: Sequence[Name]
    shapes: Sequence[tuple[str, str]]  # arm and corners, as SVG has them
    whiskers: Sequence[Whisker]

    @property
    def top(self) -> int:
        """The rating of the outermost ring."""
        return self.rings[-1].rating


def draw_radar(categories: Sequence[Score]) -> Radar | None:
    """Return the drawing; None if there are too few categories for a shape."""
    intervals = [found for score in categories for found in (score.base, score.tuned) if found]
    if len(categories) < _FEWEST or not all(map(_is_finite, intervals)):
        return None
    highest = max(found.high for found in intervals)
    top = next((top for top in _TOPS if highest <= top), max(_TOPS))
    whiskers = [*_whiskers(categories, "base", top), *_whiskers(categories, "tuned", top)]
    return Radar(
        width=_WIDTH,
        height=_HEIGHT,
        centre=(_WIDTH / 2, _HEIGHT / 2),
        rings=[_ring(rating, top, len(categories)) for rating in range(0, top + 1, _TOPS[top])][1:],
        names=[_name(score, angle) for score, angle in _spokes(categories)],
        shapes=[(arm, corners) for arm in ARMS if (corners := _corners(whiskers, arm))],
        whiskers=whiskers,
    )


def _spokes(categories: Sequence[Score]) -> Iterator[tuple[Score, float]]:
    """Yield the categories clockwise from the top, with their angles."""
    for place, score in enumerate(categories):
        yield score, 2 * math.pi * place / len(categories)


def _ring(rating: int, top: int, spokes: int) -> Ring:
    """Return a ring, its label half way between the last spoke and the first."""
    radius = _RADIUS * rating / top
    return Ring(rating, round(radius, 1), _place(-math.pi / spokes, radius))


def _name(score: Score, angle: float) -> Name:
    across = math.sin(angle)
    anchor = "middle" if abs(across) < _MIDDLE else "start" if across > 0 else "end"
    x, y = _place(angle, _RADIUS + _LABEL)
    text = score.name if len(score.name) <= _LONGEST else f"{score.name[:_LONGEST]}…"
    return Name(text, (x, y + 4), anchor, _place(angle, _RADIUS))


def _whiskers(categories: Sequence[Score], arm: str, top: int) -> Iterator[Whisker]:
    aside = -_ASIDE if arm == "base" else _ASIDE
    for score, angle in _spokes(categories):
        found = score.base if arm == "base" else score.tuned
        if found is None:
            continue
        low, at, high = (
            _RADIUS * max(0.0, value) / top for value in (found.low, found.value, found.high)
        )
        yield Whisker(
            arm,
            score.name,
            found,
            score.items,
            low=_place(angle, low, aside),
            high=_place(angle, high, aside),
            at=_place(angle, at),
        )


def _corners(whiskers: Sequence[Whisker], arm: str) -> str:
    return " ".join("{},{}".format(*whisker.at) for whisker in whiskers if whisker.arm == arm)


def _place(angle: float, radius: float, aside: float = 0.0) -> Point:
    x = _WIDTH / 2 + radius * math.sin(angle) + aside * math.cos(angle)
    y = _HEIGHT / 2 - radius * math.cos(angle) + aside * math.sin(angle)
    return round(x, 1), round(y, 1)


def _is_finite(found: Interval) -> bool:
    return all(map(math.isfinite, (found.value, found.low, found.high)))
