"""Pieces of a drawing as SVG. Whatever text they hold is escaped, and nothing in it is unseen."""

import unicodedata
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from loraflow.page.text import visible

Point = tuple[float, float]

_LETTER, _WIDE_LETTER = 0.56, 1.02  # widths, of the font's size
_FONT = 12.0


def tag(name: str, *inside: Markup, **attributes: object) -> Markup:
    """Return an element; `class_` and `stroke_width` stand for class and stroke-width.

    Attributes that are None are left out.
    """
    given = Markup().join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _written(value))
        for key, value in attributes.items()
        if value is not None
    )
    if not inside:
        return Markup("<{}{}/>").format(Markup(name), given)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), given, Markup().join(inside))


def drawing(width: float, height: float, parts: Iterable[Markup], label: str) -> Markup:
    """Return the whole picture; `label` says in words what it shows."""
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=visible(label),
    )


def write(x: float, y: float, words: str, *, anchor: str = "start", look: str = "") -> Markup:
    """Return words whose middle is at the height `y`."""
    return tag(
        "text",
        Markup("{}").format(visible(words)),
        class_=look or None,
        x=x,
        y=y + 4,
        text_anchor=None if anchor == "start" else anchor,
    )


def told(words: str) -> Markup:
    """Return what is shown when a mark is pointed at."""
    return tag("title", Markup("{}").format(visible(words)))


def line(start: Point, end: Point, look: str, *inside: Markup) -> Markup:
    """Return a straight line."""
    return tag("line", *inside, class_=look, x1=start[0], y1=start[1], x2=end[0], y2=end[1])


def way(points: Sequence[Point]) -> str:
    """Return the straight way through points, for a path."""
    return "M" + "L".join(f"{_written(x)} {_written(y)}" for x, y in points) if points else ""


def width_of(words: str, size: float = _FONT) -> float:
    """Estimate how wide words are; letters of East Asia take twice the room."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    return size * (_WIDE_LETTER * wide + _LETTER * (len(words) - wide))


def fit(words: str, room: float, size: float = _FONT) -> str:
    """Shorten words to the room there is; begin and end stay, which often tell names apart."""
    words = visible(words)
    if width_of(words, size) <= room:
        return words
    kept = len(words)
    while kept > 2 and width_of(_cut(words, kept), size) > room:  # noqa: PLR2004 - a letter each
        kept -= 1
    return _cut(words, kept)


def _cut(words: str, kept: int) -> str:
    end = kept // 3
    return f"{words[: kept - end]}…{words[len(words) - end :]}"


def _written(value: object) -> str:
    """Write a number briefly, and anything else as it is."""
    return f"{round(value, 1):g}" if isinstance(value, float) else str(value)
