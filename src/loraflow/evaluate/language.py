"""Which language a text is in, as far as cutting it into words goes, and the cutting."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import jieba

# Han characters: the unified block with extension A, and the supplementary planes
_HAN = re.compile(r"[㐀-䶿一-鿿\U00020000-\U0003ffff]")
_WORD = re.compile(r"\w", re.UNICODE)


def detect_language(texts: Sequence[str]) -> str:
    """Return "zh" if most letters of `texts` are Han characters, else "en"."""
    han = sum(len(_HAN.findall(text)) for text in texts)
    letters = sum(len(_WORD.findall(text)) for text in texts)
    return "zh" if 2 * han > letters else "en"


@cache
def chinese_words() -> "ChineseWords":
    """Return the tokenizer for ROUGE on Chinese; its dictionary is read once."""
    return ChineseWords()


class ChineseWords:
    """Cuts Chinese into words with jieba, for rouge_score, whose own tokenizer drops them all."""

    def __init__(self) -> None:
        """Read the dictionary (a second)."""
        jieba.setLogLevel("WARNING")  # it reports to stderr that it reads its dictionary
        self._jieba: Any = jieba.Tokenizer()

    def tokenize(self, text: str) -> list[str]:
        """Return the words of `text`, without spaces and punctuation, in lower case."""
        return [word for word in self._jieba.lcut(text.lower()) if _WORD.search(word)]
