"""Reads a page of an evaluation as a browser and a reader would."""

import json
import re
from html.parser import HTMLParser
from typing import Any


class Outline(HTMLParser):
    """The tags of a page with their attributes, and the words that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, Any] = {}  # JSON by the section that it is for
        self._words: list[str] = []
        self._section = ""
        self._code = ""
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join("".join(self._words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self._code = (found.get("type") or tag) if tag in ("script", "style") else ""
        self._section = (found.get("id") or "") if tag == "section" else self._section
        self._words.append(" " if tag not in ("b", "span", "wbr", "i") else "")

    def handle_endtag(self, tag: str) -> None:
        self._code = ""

    def handle_data(self, data: str) -> None:
        if self._code == "application/json":
            self.data[self._section] = json.loads(data, parse_constant=_no_constant)
        elif not self._code:
            self._words.append(data)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def section_of(html: str, name: str) -> str:
    """Return a section of the page as HTML."""
    found = re.search(rf'<section id="{name}".*?\n</section>', html, re.DOTALL)
    assert found is not None
    return found[0]
