"""Edits text without changing what it says: encoding, Unicode form, white space, invisibles."""

import re
import unicodedata
from functools import cache
from typing import ClassVar

from ftfy import TextFixerConfig, fix_and_explain
from ftfy.badness import MOJIBAKE_CATEGORIES
from pydantic.dataclasses import dataclass

from loraflow.data.operators.base import STRICT
from loraflow.data.records import Record, edit_texts

# Encoding only. Everything else that ftfy can do changes what was written: quotes, ligatures,
# fullwidth signs (Chinese punctuation), entities in code. A lossy sequence could only become "�".
_REPAIR = TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=False,
    replace_lossy_sequences=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_surrogates=False,
    remove_control_chars=False,
    normalization=None,
)
_HARMLESS = ("common", "start_punctuation", "end_punctuation")  # alone never mojibake for ftfy
_SUSPECT = re.compile(
    f"[{''.join(signs for name, signs in MOJIBAKE_CATEGORIES.items() if name not in _HARMLESS)}]"
)
_MOST_MARKS = 30  # on one letter, as in the stream-safe format of UAX 15


@dataclass(frozen=True, config=STRICT)
class Unicode:
    """Repair text decoded with the wrong encoding ("cafÃ©"), then compose accents (NFC)."""

    version: ClassVar[int] = 1

    def __call__(self, record: Record) -> Record:
        """Edit every text."""
        return edit_texts(record, _repair)


@dataclass(frozen=True, config=STRICT)
class Whitespace:
    """Unify line breaks, cut spaces at line ends, leave two blank lines at most, trim the ends.

    Indentation stays, be it of code (tabs, spaces) or of Chinese paragraphs (U+3000), but for that
    of the first line. Two blank lines are what Python code has between functions. A Markdown line
    break by two spaces at a line's end becomes a plain one.
    """

    version: ClassVar[int] = 1

    def __call__(self, record: Record) -> Record:
        """Edit every text."""
        return edit_texts(record, _tidy)


@dataclass(frozen=True, config=STRICT)
class Invisible:
    """Remove what nobody sees: control, zero-width and direction marks, soft hyphens, colour codes.

    Line breaks of any kind stay, and so do joiners between emoji or after a letter of a script that
    needs them (Arabic, Indic and others), variation selectors, and the tags of regional flags.
    """

    version: ClassVar[int] = 1

    def __call__(self, record: Record) -> Record:
        """Edit every text."""
        return edit_texts(record, _show)


@dataclass(frozen=True, config=STRICT)
class SeedCleanText:
    """Strip all punctuation and all line breaks: for reproducing runs that were cleaned like this.

    It destroys numbers ("120/80mmHg" becomes "12080mmHg", "0.5 mg" becomes "05 mg"), code,
    formulas, paragraphs, prompt prefixes ("[MEDICAL] 问题：") and the vowel signs of Indic scripts.
    """

    version: ClassVar[int] = 1

    def __call__(self, record: Record) -> Record:
        """Edit every text."""
        return edit_texts(record, _strip_punctuation)


def _repair(text: str) -> str:
    if text.isascii():
        return text
    composed = text if _is_piled(text) else unicodedata.normalize("NFC", text)
    if not _SUSPECT.search(composed):
        return composed
    lines = composed.split("\n")  # one text may hold several encodings
    repaired = "\n".join([fix_and_explain(line, _REPAIR).text for line in lines])
    return repaired if repaired == composed else _repair(repaired)


def _is_piled(text: str) -> bool:
    """Tell if more marks stand on a letter than any has: composing them would take forever.

    The time grows with the square of their number.
    """
    quick, exact = _piles()
    return quick.search(text) is not None and exact.search(text) is not None


@cache
def _piles() -> tuple[re.Pattern[str], re.Pattern[str]]:
    marks = [mark for mark in map(chr, range(0x20000)) if unicodedata.combining(mark)]
    common = "".join(mark for mark in marks if mark <= "\uffff")
    # a class with many characters beyond U+FFFF takes 20 times as long to search for
    run = f"{{{_MOST_MARKS + 1}}}"
    quick = re.compile(f"[{common}\U00010000-\U0001ffff]{run}")
    return quick, re.compile(f"[{''.join(marks)}]{run}")


def _tidy(text: str) -> str:
    # splitlines knows every kind of break; a regex for spaces at line ends would not be linear
    lines = "\n".join([line.rstrip() for line in text.splitlines()])
    if "\n\n\n\n" in lines:
        lines = re.sub("\n{4,}", "\n\n\n", lines)
    return lines.strip()


_EMOJI = "\U0001f000-\U0001faff\u2190-\u2bff\u3030\u303d\u3297\u3299\u00a9\u00ae"
_EMOJI_PART = f"{_EMOJI}\ufe0f\u20e3"  # an emoji may end in a variation selector or a keycap
_JOINING = (  # scripts in which a joiner changes the shape of the letter before it
    "\u0600-\u061b\u061d-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1a20-\u1cff"
    "\ua840-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff\U0001e900-\U0001e95f"
)
_TAGS = "\U000e0000-\U000e007f"
_HIDDEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters that break no line
    "\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
)
_INVISIBLE = re.compile(
    rf"(?P<flag>\U0001f3f4[\U000e0030-\U000e007a]{{1,32}}\U000e007f)"
    rf"|(?P<joiner>(?<=[{_JOINING}])[\u200c\u200d]|(?<=[{_EMOJI_PART}])\u200d(?=[{_EMOJI}]))"
    rf"|\x1b\[[0-9;]*[A-Za-z]|[{_HIDDEN}{_TAGS}\u200c\u200d]"
)
_ANY_INVISIBLE = re.compile(f"[{_HIDDEN}{_TAGS}\u200c\u200d]")


def _show(text: str) -> str:
    if not _ANY_INVISIBLE.search(text):
        return text
    return _INVISIBLE.sub(lambda found: found["flag"] or found["joiner"] or "", text)


def _strip_punctuation(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s]", "", text)).strip()
