"""Cuts text of any script into the words and n-grams by which rows are compared."""

import re

# Scripts without spaces: each character counts as a word (Han with extensions, Hiragana, Katakana).
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORDS = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
_WORDS_AND_SIGNS = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")
_NUMBERS = re.compile(r"\d+|[零〇一二三四五六七八九十百千万亿两半]+")
_SAID = (  # what tells two prompts apart: all but white space and punctuation
    r"\w+\-*/=<>%^&|~\\"  # letters, digits, signs of arithmetic and code
    "\u00ac\u00b0\u00b1\u00d7\u00f7\u2190-\u23ff\u27c0-\u27ff\u2900-\u2aff"  # mathematics, arrows
    "\uff05\uff0a\uff0b\uff0d\uff0f\uff1c-\uff1e"  # fullwidth signs of arithmetic
    "$\u00a2-\u00a5\u20a0-\u20cf\uff04\uffe0\uffe1\uffe5"  # currencies
    "\u2600-\u27bf\U0001f000-\U0001faff"  # emoji
    "\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e"  # marks that make another letter
)
_SAYING = re.compile(f"[{_SAID}]+")
_BETWEEN_NUMBERS = re.compile(rf"(\d)[^{_SAID}]+(?=\d)")


def words(text: str) -> list[str]:
    """Return words in lower case, without punctuation; a Chinese character is a word."""
    return _WORDS.findall(text.lower())


def shingles(text: str, n: int) -> list[str]:
    """Return the n-grams of words and signs; of a shorter text the whole as one.

    Signs are kept: without them "2+2" and "2-2" would be the same.
    """
    parts = _WORDS_AND_SIGNS.findall(text.lower())
    if len(parts) <= n:
        return ["\0".join(parts)]
    return ["\0".join(parts[start : start + n]) for start in range(len(parts) - n + 1)]


def numbers(text: str) -> str:
    """Return the numbers in `text`, in digits or Chinese characters, in order.

    Rows that differ in one say different things: "每日三次" is not "每日五次".
    """
    return " ".join(_NUMBERS.findall(text))


def normalized(text: str) -> str:
    """Return letters, digits and symbols (of arithmetic, currencies, emoji), in lower case.

    Two prompts that agree in it are the same prompt, whatever their spaces and punctuation.
    Numbers stay apart: "1.5" is not "15".
    """
    text = text.casefold()
    return "".join(_SAYING.findall(_BETWEEN_NUMBERS.sub(r"\1_", text))) or text.strip()
