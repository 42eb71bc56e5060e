"""Puts the report's numbers into its template; whatever comes from the data is escaped."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from loraflow.data.report.difference import mark_both, mark_new, mark_old
from loraflow.data.report.text import script_of, shorten, spell_spaces, spell_unseen

_LEAST = 0.1  # percent; smaller shares are not rounded to nothing


def render(page: Mapping[str, Any]) -> str:
    """Return the page: one document, complete in itself."""
    environment = Environment(
        loader=PackageLoader("loraflow.data", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "percent": _percent,
        "shown": _shown,
        "spaces": spell_spaces,
        "unseen": spell_unseen,
        "script": _script,
        "breakable": _breakable,
        "old": mark_old,
        "new": mark_new,
        "both": mark_both,
    }
    return environment.get_template("report.html.j2").render(page)


def _percent(part: float, whole: float) -> str:
    share = 100 * part / whole if whole else 0
    if 0 < share < _LEAST:
        return f"<{_LEAST}%"
    if share < 100 and round(share, 1) == 100:  # noqa: PLR2004
        return ">99.9%"
    return f"{share:.1f}%"


def _shown(text: str, limit: int) -> str:
    """Shorten `text` to the room of `limit` Latin letters; those of East Asia are twice as wide."""
    wide = script_of(text[:limit]) is not None
    return spell_unseen(shorten(text, limit // 2 if wide else limit))


def _script(text: str) -> Markup:
    """Return the attributes of an element that holds `text`."""
    script = script_of(text)
    language = Markup(' lang="{}"').format(script) if script else Markup()
    return Markup(' dir="auto"') + language


def _breakable(name: str) -> Markup:
    """Let a long name break behind its underscores."""
    return Markup("_<wbr>").join(map(escape, spell_unseen(name).split("_")))
