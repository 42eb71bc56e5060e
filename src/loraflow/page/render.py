"""Puts values into a page's template; whatever comes from data or models is escaped."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from loraflow.page.text import script_of, shorten, spell_unseen

Filters = Mapping[str, Callable[..., Any]]

_LEAST = 0.1  # percent; smaller shares are not rounded to nothing


def render_page(
    template: str,
    values: Mapping[str, Any],
    *,
    package: str,
    filters: Filters,
    script: str | None = None,
) -> str:
    """Return the page: one document, complete in itself.

    `template` is a file of `package` and extends page.html.j2. `script` is a file of JavaScript
    beside it: the page lets only this one run, by its hash.
    """
    environment = Environment(
        loader=ChoiceLoader([_folder(package), _folder(__package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**_FILTERS, **filters}
    code = _folder(package).get_source(environment, script)[0] if script else ""
    parts = {"script": Markup(code), "script_hash": _hash(code)}
    return environment.get_template(template).render({**parts, **values})


def _folder(package: str) -> PackageLoader:
    parent, _, folder = package.rpartition(".")
    return PackageLoader(parent, folder)


def _hash(code: str) -> str:
    """Return the hash of a script as a content security policy names it."""
    digest = hashlib.sha256(f"\n{code}\n".encode()).digest()  # with the line ends of the template
    return base64.b64encode(digest).decode()


def _count(number: int) -> str:
    return f"{number:,}"


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


_FILTERS: Filters = {
    "count": _count,
    "percent": _percent,
    "shown": _shown,
    "unseen": spell_unseen,
    "script": _script,
    "breakable": _breakable,
}
