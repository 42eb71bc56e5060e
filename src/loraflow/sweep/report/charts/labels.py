"""Finds room for labels, so that none covers another."""

from collections.abc import Sequence

from loraflow.page.charts.scale import Box
from loraflow.page.charts.svg import Point, width_of

_HEIGHT = 15.0  # of a line of words
_SIZE = 13.0  # of letters; some are bold
_GAP = 8.0  # between a point and its label
_SPOT = 5.0  # half of a point

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


def stack(wanted: Sequence[float], low: float, high: float, apart: float = _HEIGHT) -> list[float]:
    """Return heights near the wanted ones, in the same order, that are far enough apart.

    Where there are more than fit between `low` and `high`, they move closer together.
    """
    count = len(wanted)
    apart = min(apart, (high - low) / max(1, count - 1)) if count > 1 else apart
    order = sorted(range(count), key=lambda place: wanted[place])
    heights = [0.0] * count
    floor = low
    for place in order:
        heights[place] = floor = max(wanted[place], floor)
        floor += apart
    ceiling = high
    for place in reversed(order):
        heights[place] = ceiling = min(heights[place], ceiling)
        ceiling -= apart
    return heights


def place_beside(
    points: Sequence[Point], words: Sequence[str], taken: Sequence[Point], box: Box
) -> list[tuple[Point, str] | None]:
    """Return where the words of each point stand, and their anchor; None: there is no room.

    The first points choose first. `taken` are points that no word may cover.
    """
    busy: list[Rectangle] = [(x - _SPOT, y - _SPOT, x + _SPOT, y + _SPOT) for x, y in taken]
    found: list[tuple[Point, str] | None] = []
    for point, text in zip(points, words, strict=True):
        chosen = next(
            (
                (at, anchor, room)
                for at, anchor, room in _candidates(point, width_of(text, _SIZE))
                if _is_inside(room, box) and not any(_overlap(room, other) for other in busy)
            ),
            None,
        )
        if chosen is None:
            found.append(None)
            continue
        at, anchor, room = chosen
        busy.append(room)
        found.append((at, anchor))
    return found


def _candidates(point: Point, width: float) -> list[tuple[Point, str, Rectangle]]:
    x, y = point
    half = _HEIGHT / 2
    places = []
    for dy in (-_GAP - half, _GAP + half, -2.4 * _GAP - half, 2.4 * _GAP + half):
        places += [((x, y + dy), "middle"), ((x - 4, y + dy), "end"), ((x + 4, y + dy), "start")]
    places += [((x + _GAP + 2, y), "start"), ((x - _GAP - 2, y), "end")]
    back = {"start": 0.0, "middle": 0.5, "end": 1.0}
    return [
        (
            at,
            anchor,
            (left := at[0] - back[anchor] * width, at[1] - half, left + width, at[1] + half),
        )
        for at, anchor in places
    ]


def _is_inside(room: Rectangle, box: Box) -> bool:
    return (
        room[0] >= box.left
        and room[2] <= box.right + 6
        and room[1] >= box.top - 8
        and (room[3] <= box.bottom)
    )


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
