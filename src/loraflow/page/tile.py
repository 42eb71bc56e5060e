"""A number in large type, with what it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One number."""

    label: str
    big: str
    more: str
