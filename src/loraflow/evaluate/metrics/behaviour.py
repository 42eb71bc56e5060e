"""How answers behave, whatever they say: their length, refusals, going in circles."""

import re
from collections import Counter
from typing import Any

import datasets
import evaluate

from loraflow.evaluate.metrics.features import described

_REFUSAL = re.compile(
    r"^\W*(?:(?:i(?:'|\u2019)?m|i am|we are|we(?:'|\u2019)re)?\s*(?:very |so |really )?sorry\b"
    r"|(?:i|we) (?:can(?:no|['\u2019])?t|am unable|am not able|do(?: no|n['\u2019])t feel)\b"
    r"|(?:i(?:'|\u2019)m|i am) (?:not able|unable|not allowed|not comfortable)\b"
    r"|as an? (?:ai|artificial intelligence|language model)\b"
    r"|unfortunately,? (?:i|we) (?:can|am|are)\b"
    r"|(?:很|非常|十分|真的)?(?:抱歉|对不起|遗憾)|不好意思"
    r"|我(?:无法|不能|没有办法|没办法|不可以)|作为(?:一个|一名)?(?:AI|人工智能|语言模型|大模型))",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")  # a character of East Asia is a word
_GRAM = 4  # words; an answer of fewer does not repeat itself


class Behaviour(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """Per answer: characters, 1.0 where it begins with a refusal, share of repeated 4-grams."""

    def _info(self) -> evaluate.MetricInfo:
        texts = {"predictions": datasets.Value("string")}
        return described(__doc__, "", "predictions: a list of strings", texts)

    def _compute(self, predictions: list[str]) -> dict[str, Any]:
        """Return lists in the order of the answers."""
        return {
            "answer_characters": [len(text) for text in predictions],
            "refusal": [float(bool(_REFUSAL.match(text))) for text in predictions],
            "repetition": [repeated_share(text) for text in predictions],
        }


def repeated_share(text: str) -> float:
    """Return the share of 4-grams of words that stood there before; 0 for a short text."""
    words = _WORD.findall(text.lower())
    grams = Counter(tuple(words[at : at + _GRAM]) for at in range(len(words) - _GRAM + 1))
    total = sum(grams.values())
    return 1 - len(grams) / total if total else 0.0
