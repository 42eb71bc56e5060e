"""What series and points look like: each differs in shape and dashes as well as in colour."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from loraflow.page.charts.svg import tag

SERIES = 6  # that can be told apart
RAMP = 8  # colours in an order
MANY = 60  # lines of one chart from which on they are drawn thin, and are harder to point at

_SHAPES = (
    "M{r} 0A{r} {r} 0 1 1 -{r} 0A{r} {r} 0 1 1 {r} 0Z",  # circle
    "M-{q} -{q}H{q}V{q}H-{q}Z",  # square
    "M0 -{s}L{s} {q}L-{s} {q}Z",  # triangle
    "M0 -{s}L{s} 0L0 {s}L-{s} 0Z",  # diamond
    "M0 {s}L{s} -{q}L-{s} -{q}Z",  # triangle that points down
    "M-{q} -{q}L{q} {q}M-{q} {q}L{q} -{q}",  # cross
)
SIGNS = ("●", "■", "▲", "◆", "▼", "✕")  # the same, for keys


def series(place: int) -> str:
    """Return the class of a series: its colour and dashes."""
    return f"s{place % SERIES}"


def ramp(place: int, count: int) -> str:
    """Return the class of a place in an order of so many."""
    return f"q{round(place * (RAMP - 1) / max(1, count - 1))}"


def mark(at: tuple[float, float], *inside: Markup, place: int = 0, size: float = 4.2) -> Markup:
    """Return the point of the series at `place`."""
    d = _SHAPES[place % SERIES].format(r=_brief(size), q=_brief(0.88 * size), s=_brief(1.2 * size))
    return tag("path", *inside, class_="dot", d=d, transform=f"translate({at[0]:g} {at[1]:g})")


def arm_group(number: int, parts: Sequence[Markup], look: str = "", **more: Any) -> Markup:
    """Return what belongs to an arm; the script lights it up wherever the arm is pointed at."""
    return tag("g", *parts, class_=f"arm {look}".strip(), data_arm=number, **more)


def _brief(number: float) -> str:
    return f"{number:.1f}"
