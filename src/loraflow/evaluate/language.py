"""Which language a text is in, as far as cutting it into words goes, and the cutting."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol

import jieba

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_LETTER = re.compile(r"\w")
_MIXED = 0.2  # from this share on, a script decides how texts are cut


class Words(Protocol):
    """What rouge_score takes for a tokenizer."""

    @property
    def name(self) -> str:
        """What signatures call it."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of `text`."""


def detect_language(texts: Sequence[str]) -> str:
    """Return "zh", "ja", "en", or "other" for scripts that rouge_score's own tokenizer drops.

    Decided by the share of letters, so Chinese with code in it is Chinese.
    """
    text = "".join(texts)
    letters = max(1, len(_LETTER.findall(text)))
    if len(_KANA.findall(text)) > _MIXED * letters:
        return "ja"
    if len(_HAN.findall(text)) > _MIXED * letters:
        return "zh"
    beyond_ascii = sum(not letter.isascii() for letter in _LETTER.findall(text))
    return "other" if beyond_ascii > _MIXED * letters else "en"


def words_of(language: str) -> Words | None:
    """Return the tokenizer for ROUGE; None leaves rouge_score its own, which is for English."""
    if language == "en":
        return None
    return ChineseWords() if language == "zh" else UnicodeWords(split=language == "ja")


class ChineseWords:
    """Cuts Chinese into words with jieba."""

    name = f"jieba-{version('jieba')}"

    def tokenize(self, text: str) -> list[str]:
        """Return the words of `text`, without spaces and punctuation, in lower case."""
        return [word for word in _jieba().lcut(text.lower()) if _LETTER.search(word)]


class UnicodeWords:
    """Cuts at everything that is no letter, or after every letter (`split`)."""

    def __init__(self, *, split: bool) -> None:
        """Cut into single characters if `split`, for scripts without spaces."""
        self._word = re.compile(r"\w" if split else r"\w+")
        self.name = "characters" if split else "unicode-words"

    def tokenize(self, text: str) -> list[str]:
        """Return the words of `text` in lower case."""
        return self._word.findall(text.lower())


@cache
def _jieba() -> Any:
    """Read the dictionary, once: a second."""
    jieba.setLogLevel("WARNING")  # it reports to stderr that it reads its dictionary
    return jieba.Tokenizer()
