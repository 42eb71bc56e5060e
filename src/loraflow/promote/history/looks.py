"""What each outcome looks like, everywhere on the page: a word, a sign, a shape, a class."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from loraflow.config.nightly import Outcome
from loraflow.page.charts.marks import SIGNS, mark
from loraflow.page.charts.svg import Point, tag, told
from loraflow.promote.history.nights import Night, took


@dataclass(frozen=True)
class Look:
    """How an outcome is shown, so that no colour is needed to read it."""

    word: str
    sign: str
    shape: int  # of loraflow.page.charts.marks
    tone: str  # good, note or bad: of a box that tells of it
    is_hollow: bool = False


LOOKS: Mapping[Outcome, Look] = {
    "promoted": Look("promoted", SIGNS[2], 2, "good"),
    "kept": Look("kept", "○", 0, "good", is_hollow=True),
    "skipped": Look("skipped", "◇", 3, "good", is_hollow=True),
    "stopped": Look("stopped", SIGNS[1], 1, "bad"),
    "failed": Look("failed", SIGNS[5], 5, "bad"),
    "rolled_back": Look("rolled back", SIGNS[4], 4, "note"),
}


def night_mark(night: Night, at: Point, *, size: float = 4.6) -> Markup:
    """Return the mark of a night; who points at it reads what happened."""
    outcome = night.record.outcome
    look = LOOKS[outcome]
    hollow = " hollow" if look.is_hollow else ""
    words = told(f"{describe(night)}\n{night.record.reason}")
    return tag("g", words, mark(at, place=look.shape, size=size), class_=f"night {outcome}{hollow}")


def describe(night: Night) -> str:
    """Return the night in a line."""
    look = LOOKS[night.record.outcome]
    return f"{night.started:%Y-%m-%d %H:%M} UTC: {look.word}, {took(night.seconds)}"
