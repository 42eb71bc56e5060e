"""Reads what a judge wrote: a rating from 1 to 10, or which of two answers is better."""

import re
from collections.abc import Iterator
from typing import Literal

LOWEST, HIGHEST = 1, 10

Winner = Literal["a", "b", "tie"]

_WINNERS: dict[str, Winner] = {"A": "a", "B": "b", "C": "tie"}

# Full-width brackets, slash, digits and letters, as Chinese and Japanese judges write them.
_HALF_WIDTH = str.maketrans(
    "\u3010\u3011\uff3b\uff3d\uff0f\uff0e\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff21\uff22\uff23",
    "[][]/.0123456789ABC",
)
_NUMBER = r"\s*(\d+(?:\.\d*)?)\s*(?:/\s*(\d+)\s*)?"  # what stands behind the slash is the scale
_DOUBLE = re.compile(rf"\[\[{_NUMBER}\]\]", re.ASCII)
_SINGLE = re.compile(rf"(?<!\[)\[{_NUMBER}\](?!\])", re.ASCII)
_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]", re.IGNORECASE)

_THOUGHTS = [
    re.compile(pattern, re.DOTALL | re.IGNORECASE)
    for pattern in (
        r"<think>.*?</think>",
        r"\A.*</think>",  # whose opening was in the prompt
        r"\A\s*<think>.*",  # cut at the most tokens, so that they have no end
    )
]

# "rating" in the languages of judges; \u5206 ends most Chinese words for it.
_RATING_WORD = re.compile(
    r"(?:rating|score|\u5206\u6570|\u5206|\u8a55\u4fa1|\u8a55\u70b9)(?:\s+(?:is|of))?[\s*:\uff1a\u662f\u4e3a\u306f]*$",
    re.IGNORECASE,
)
_LOOKED_AT = 40  # characters before a bracket in which its word must stand


def parse_rating(text: str) -> float | None:
    """Return the last rating in the text, None if there is none or it is not from 1 to 10.

    `[[8]]`, `[[ 8.5 ]]` and `[[8/10]]` are ratings, in full-width brackets too. Only where there
    is no such is `[8]` one, unless it may be a citation. Thoughts do not count.
    """
    spoken = _spoken(text)
    found = list(_DOUBLE.finditer(spoken)) or list(_uncited(spoken))
    if not found:
        return None
    number, scale = found[-1].groups()
    on_scale = scale is None or int(scale) == HIGHEST
    rating = float(number)
    return rating if on_scale and LOWEST <= rating <= HIGHEST else None


def parse_verdict(text: str) -> Winner | None:
    """Return the last of `[[A]]`, `[[B]]` and `[[C]]`, a tie, in the text; None without any."""
    found = _VERDICT.findall(_spoken(text))
    return _WINNERS[found[-1].upper()] if found else None


def _spoken(text: str) -> str:
    """Return the text without thoughts, full-width brackets and digits made ASCII."""
    for thoughts in _THOUGHTS:
        text = thoughts.sub("", text)
    return text.translate(_HALF_WIDTH)


def _uncited(text: str) -> Iterator[re.Match[str]]:
    """Yield numbers in single brackets that cannot be citations.

    They follow a word for "rating", name their scale, have decimals, or are the whole last line.
    """
    for match in _SINGLE.finditer(text):
        before, behind = text[: match.start()], text[match.end() :]
        last_line = not behind.strip() and not before.rpartition("\n")[2].strip()
        plain = match.group(2) is None and "." not in match.group(1)
        named = _RATING_WORD.search(before[-_LOOKED_AT:]) is not None
        if named or not plain or last_line:
            yield match
