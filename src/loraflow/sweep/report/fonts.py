"""Which installed fonts the picture is written with, so that Han characters are no boxes."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

_LATIN = "DejaVu Sans"  # comes with Matplotlib
_LETTERS = "\u4eec\u5b57"  # simplified, which Japanese fonts lack, and one that all have
_BOXES = ("Last Resort", "LastResort", ".LastResort")  # of Matplotlib and macOS: all are boxes


@cache
def font_families() -> list[str]:
    """Return families of fonts, each for what those before it lack.

    Those for Han characters are whatever is installed; on a machine without any there is none.
    """
    found = [family for letter in _LETTERS for family in _first_with(letter)]
    return list(dict.fromkeys([_LATIN, *found]))


def _first_with(letter: str) -> Iterator[str]:
    from matplotlib.font_manager import fontManager, get_font  # noqa: PLC0415 - a second

    for font in sorted(fontManager.ttflist, key=lambda one: ("Sans" not in one.name, one.name)):
        if font.name.startswith(_BOXES) or not Path(font.fname).is_file():
            continue
        if get_font(font.fname).get_char_index(ord(letter)):
            yield font.name
            return
