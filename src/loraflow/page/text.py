"""How a page shows texts: shortened, nothing left invisible, in the shapes of their language."""

import re

# They break a line, turn it around or cannot be seen: controls, zero-width spaces, overrides of the
# direction. The joiners that emoji and Persian need stay.
_UNSEEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u206f\ufeff]")
_SPACES = re.compile(r"[\s\u200c-\u200f]")
_SINGLE_SPACE = re.compile(r"(?<=\S) (?=\S)")
_SIGNS = {" ": "·", "\n": "⏎\n", "\t": "→", "\r": "␍"}
_SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "zh": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]"),
}


def shorten(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`, and how many more there are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()} … (+{len(text) - limit:,} characters)"


def spell_unseen(text: str) -> str:
    """Write out the characters that cannot be seen or would disturb the page."""
    return _UNSEEN.sub(lambda found: _code_point(found[0]), text)


def visible(text: str) -> str:
    """Write out what cannot be seen or encoded: controls, halves of surrogate pairs."""
    return spell_unseen(text).encode("utf-8", "backslashreplace").decode()


def spell_spaces(text: str) -> str:
    """Write out every kind of space as well."""
    return _SPACES.sub(
        lambda found: _SIGNS.get(found[0]) or _code_point(found[0]), spell_unseen(text)
    )


def spell_edges(text: str) -> str:
    """Write out spaces, but not single ones between words."""
    parts = _SINGLE_SPACE.split(text)
    return " ".join(map(spell_spaces, parts))


def script_of(text: str) -> str | None:
    """Return the language whose shapes of Han characters a browser should choose."""
    return next((code for code, script in _SCRIPTS.items() if script.search(text)), None)


def _code_point(character: str) -> str:
    return f"[U+{ord(character):04X}]"
