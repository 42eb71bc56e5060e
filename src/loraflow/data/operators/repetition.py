"""Sets answers aside that go round in circles, by characters and by words."""

from collections.abc import Callable, Hashable, Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.data.operators.base import STRICT
from loraflow.data.operators.quality import learned_answers
from loraflow.data.records import Fault, Record
from loraflow.data.shingles import words

NGram = Annotated[int, Field(ge=1, le=100, strict=True)]
Share = Annotated[float, Field(gt=0, lt=1)]

_ENOUGH = 10  # lengths of an n-gram: in a shorter answer repetition is style
_JUDGED = 100_000  # characters: an endless answer is judged by its beginning
_SPARE = 1.2  # looked at beyond what the limit asks for: few answers then need a full count


@dataclass(frozen=True, config=STRICT)
class CharacterRepetition:
    """Keep answers in which at most a share of the character n-grams repeats an earlier one.

    The share is 1 - different n-grams / all n-grams: 0.5 for a text said twice, 0.9 for one said
    ten times. (Data-Juicer's filter of this name sums up the most frequent n-grams only.) White
    space of any length is one space, so that tables and indented code are no repetition.
    """

    version: ClassVar[int] = 1
    ngram: NGram  # characters; answers shorter than ten n-grams pass
    max_share: Share

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the share."""
        for answer in learned_answers(record):
            if len(answer) < _ENOUGH * self.ngram:
                continue
            text = " ".join(answer[:_JUDGED].split())
            if fault := _judge(text, self.ngram, self.max_share, _character_ngrams):
                return fault
        return record


@dataclass(frozen=True, config=STRICT)
class WordRepetition:
    """Keep answers in which at most a share of the word n-grams repeats an earlier one.

    Measured as `CharacterRepetition` does, on words in lower case without punctuation; a Chinese or
    Japanese character is a word.
    """

    version: ClassVar[int] = 1
    ngram: NGram  # words; answers shorter than ten n-grams pass
    max_share: Share

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the share."""
        for answer in learned_answers(record):
            if len(answer) < _ENOUGH * self.ngram:  # a word has at least one character
                continue
            said = words(answer[:_JUDGED])
            if len(said) - len(set(said)) <= self.max_share * (len(said) - self.ngram + 1):
                continue  # a word said for the first time ends an n-gram that is new, too
            if fault := _judge(said, self.ngram, self.max_share, _word_ngrams):
                return fault
        return record


NGrams = Callable[[Sequence[str], int, int, int], "set[Hashable]"]


def _judge(parts: Sequence[str], n: int, max_share: float, ngrams: NGrams) -> Fault | None:
    """Count n-grams only as far as it takes to know that the share is within its limit."""
    total = len(parts) - n + 1
    if len(parts) < _ENOUGH * n:
        return None
    needed = (1 - max_share) * total
    first = min(int(_SPARE * needed), total)
    different = ngrams(parts, n, 0, first)
    if len(different) < needed:
        different |= ngrams(parts, n, first, total)
    if len(different) >= needed:
        return None
    return Fault(round(1 - len(different) / total, 4), max_share)


def _character_ngrams(text: Sequence[str], n: int, start: int, stop: int) -> set[Hashable]:
    return {text[place : place + n] for place in range(start, stop)}


def _word_ngrams(said: Sequence[str], n: int, start: int, stop: int) -> set[Hashable]:
    return set(zip(*(said[start + shift : stop + shift] for shift in range(n)), strict=True))
