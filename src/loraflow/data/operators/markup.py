"""Takes the web out of text: HTML tags and entities, and addresses; code is left alone."""

import html
import re
from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.data.operators.base import STRICT
from loraflow.data.records import Record, edit_texts


@dataclass(frozen=True, config=STRICT)
class Html:
    """Turn HTML into plain text; a text without a known tag stays as it is, entities and all.

    Paragraphs become lines, `<pre>` and `<code>` Markdown code; scripts, styles and comments go.
    What is written about HTML stays: code in fences or backticks, and all of a row whose prompt
    speaks of HTML or whose answer is a page (it begins with a doctype or `<html>`).
    """

    version: ClassVar[int] = 1

    def __call__(self, record: Record) -> Record:
        """Edit every text."""
        if record.kind != "text" and _is_about_html(record):
            return record
        return edit_texts(record, _to_plain_text)


@dataclass(frozen=True, config=STRICT)
class Urls:
    """Replace web addresses, so that none is learned by heart.

    An address ends where ASCII ends: of "见https://a.com/b。然后" only the middle is replaced.
    """

    version: ClassVar[int] = 1
    replacement: Annotated[str, Field(max_length=40)]

    def __call__(self, record: Record) -> Record:
        """Edit every text."""
        return edit_texts(record, self._replace)

    def _replace(self, text: str) -> str:
        if "://" not in text and "www." not in text.lower():
            return text
        return _URL.sub(lambda _: self.replacement, text)


_URL_SIGN = r"[\w\-.~:/?#@!&'*+,;=%]"
_URL = re.compile(
    rf"(?<![\w.@/-])(?:(?:https?|ftp)://|www\.)(?=\w)(?:{_URL_SIGN}|\({_URL_SIGN}*\))*"
    r"(?<![.,:;!?'*])",  # what ends the sentence is no part of the address
    re.ASCII | re.IGNORECASE,
)

_INLINE = "abbr big cite del em font ins kbd label mark samp small span strike strong sub sup tt"
_UNSEEN = "var img input button meta link wbr iframe"
_BLOCK = "article aside blockquote body br center dd div dl dt figcaption figure footer form"
_REST = "h1 h2 h3 h4 h5 h6 head header hr html li main nav ol option section select"
_TABLE = "table tbody tfoot thead title tr ul textarea video audio"
_BECOMES = {
    **dict.fromkeys([*"abiqsu", *f"{_INLINE} {_UNSEEN}".split()], ""),
    **dict.fromkeys(["p", *f"{_BLOCK} {_REST} {_TABLE}".split()], "\n"),
    **dict.fromkeys(["td", "th"], " "),
    "code": "`",
}
_LONG = "|".join(name for name in _BECOMES if len(name) > 1)
_NAME = rf"(?:(?-i:[abipqsu])|{_LONG})"  # List<B> is Java
_ATTRIBUTES = r"\s[^<>=]*=[^<>]*"
# All of <<b>, since <b without the tag would be half of the next one.
_TAG = re.compile(rf"(?<!<)<+/?({_NAME})(?:\s{{0,9}}/?|{_ATTRIBUTES})>", re.I)
# A word in angle brackets may be a placeholder; these are surely HTML.
_EVIDENCE = re.compile(
    rf"</{_NAME}\s{{0,9}}>|<(?:br|hr|li|(?-i:p))\s?/?>|<{_NAME}{_ATTRIBUTES}>", re.I
)
_SCRIPT = (re.compile(r"<(?:script|style)\b[^<>]*>", re.I), re.compile("</(?:script|style)>", re.I))
_COMMENT = (re.compile("<!--"), re.compile("-->"))
_PRE = (re.compile(r"<pre\b[^<>]*>", re.I), re.compile("</pre>", re.I))
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,31});", re.I | re.ASCII)
_ESCAPED_TAG = re.compile(rf"&lt;(/?{_NAME}(?=[\s/&])[^<>&`\n]{{0,200}})&gt;", re.I)
_ABOUT_HTML = re.compile(r"(?<![./<\w])(?:html|css|web ?page)(?!\w)|网页|網頁", re.I | re.ASCII)
_PAGE = re.compile(r"\s{0,99}<(?:!doctype|html)\b", re.I)
_FENCE = re.compile(r"(```.*?(?:```|\Z))", re.DOTALL)
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)  # split: at the odd places
_PASSES = 8  # tags inside tags inside tags


def _is_about_html(record: Record) -> bool:
    asked = any(_ABOUT_HTML.search(part["content"]) for part in record.prompt)
    return asked or _PAGE.match(record.answer) is not None


def _to_plain_text(text: str) -> str:
    if "<" not in text:
        return text
    for _ in range(_PASSES):
        plain = _strip(text)
        if plain == text:
            return text
        text = plain
    return text.replace("<", "")  # built to outlast any number of passes


def _strip(text: str) -> str:
    if not any(map(_EVIDENCE.search, _CODE.split(text)[::2])):
        return text
    parts = _FENCE.split(text)
    for begin_end, change in ((_SCRIPT, _drop), (_COMMENT, _drop), (_PRE, _fence)):
        parts[::2] = [_change_elements(part, *begin_end, change) for part in parts[::2]]
    pieces = _CODE.split("".join(parts))
    pieces[::2] = [_unescape(_ESCAPED_TAG.sub(r"`<\1>`", _cut_tags(part))) for part in pieces[::2]]
    return "".join(pieces)


def _change_elements(
    text: str, begin: re.Pattern[str], end: re.Pattern[str], change: Callable[[str], str]
) -> str:
    """Replace each element by what `change` makes of its inside, in one walk over the text."""
    done, place = [], 0
    while (opening := begin.search(text, place)) and (closing := end.search(text, opening.end())):
        done += [text[place : opening.start()], change(text[opening.end() : closing.start()])]
        place = closing.end()
    return "".join([*done, text[place:]])


def _drop(_: str) -> str:
    return ""


def _fence(inside: str) -> str:
    code = re.sub("</?code[^<>]*>", "", inside, flags=re.I)
    return f"\n```\n{_unescape(_cut_tags(code)).strip()}\n```\n"


def _cut_tags(text: str) -> str:
    return _TAG.sub(lambda found: _BECOMES.get(found[1].lower(), ""), text)


def _unescape(text: str) -> str:
    return _ENTITY.sub(lambda found: html.unescape(found[0]).replace("\xa0", " "), text)
