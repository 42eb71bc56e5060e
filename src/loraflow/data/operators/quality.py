"""Sets rows aside that teach nothing good: broken turns, no answer, refusals, cut-off answers."""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from loraflow.data.operators.base import STRICT
from loraflow.data.records import Fault, Record, is_learned
from loraflow.data.shingles import words

Count = Annotated[int, Field(ge=0, strict=True)]


def learned_answers(record: Record) -> Iterator[str]:
    """Yield the answers that are to be imitated; what is wrong with a bad example is its use."""
    if record.kind == "kto" and record.label == "false":
        return
    for message in record.messages:
        if is_learned(message):
            yield message["content"]


def _ordered(limits: tuple[int, int]) -> tuple[int, int]:
    shortest, longest = limits
    if shortest > longest:
        raise ValueError("keeps no row; write the shortest first, then the longest, as in [1,8000]")
    return limits


def _sayable(phrases: list[str]) -> list[str]:
    for phrase in phrases:
        if not words(phrase):
            raise ValueError(f"holds {phrase!r}, in which there is no word; drop it")
    return phrases


Limits = Annotated[tuple[Count, Count], AfterValidator(_ordered)]
Phrases = Annotated[list[str], AfterValidator(_sayable)]


@dataclass(frozen=True, config=STRICT)
class Roles:
    """Keep conversations of user and assistant in turns, in which the assistant comes last.

    A system message may come first, and tool messages between two of the assistant's.
    """

    version: ClassVar[int] = 1

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the roles in order."""
        roles = [message["role"] for message in record.messages]
        shape = "".join([_LETTERS.get(role, "?") for role in roles])
        if shape == "UA" or _TURNS.fullmatch(shape) or (record.kind == "text" and shape == "A"):
            return record
        return Fault(roles, "[system], then user, assistant, [tool, assistant] in turns")


_LETTERS = {"system": "S", "user": "U", "assistant": "A", "tool": "T"}
_TURNS = re.compile("S?(?:UA(?:T+A)*)+")


@dataclass(frozen=True, config=STRICT)
class Length:
    """Keep rows whose answer and prompt are neither too short nor too long, limits included."""

    version: ClassVar[int] = 1
    answer_characters: Limits  # of the last answer, and of the worse one of a preference
    prompt_characters: Limits  # of all messages before it; raw text has none

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the length that does not fit."""
        shortest, longest = self.answer_characters
        if not shortest <= len(record.answer) <= longest:
            return Fault({"answer_characters": len(record.answer)}, [shortest, longest])
        if record.rejected is not None and not shortest <= len(record.rejected) <= longest:
            return Fault({"rejected_characters": len(record.rejected)}, [shortest, longest])
        shortest, longest = self.prompt_characters
        asked = sum([len(message["content"]) for message in record.prompt])
        if record.kind == "text" or shortest <= asked <= longest:
            return record
        return Fault({"prompt_characters": asked}, [shortest, longest])


@dataclass(frozen=True, config=STRICT)
class EmptyOrEchoed:
    """Keep rows in which every message says something and the answer is not the question again.

    Case and white space make no difference between question and answer; the better and the worse
    answer of a preference must differ in more than the white space around them.
    """

    version: ClassVar[int] = 1

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the role that is silent, or with the echo."""
        for message in record.messages:
            if not message["content"].strip():
                return Fault({"empty": message["role"]}, "some text")
        if record.rejected is not None:
            rejected = record.rejected.strip()
            if not rejected:
                return Fault({"empty": "rejected"}, "some text")
            if rejected == record.answer.strip():
                return Fault({"same": "chosen and rejected"}, "two answers")
        asked = [part["content"] for part in record.prompt if part["role"] == "user"]
        if asked and _same_text(asked[-1], record.answer):
            return Fault({"echo": record.answer[:_SHOWN]}, "an answer")
        return record


_SHOWN = 200  # characters of a text in the reason


def _same_text(one: str, other: str) -> bool:
    if one.lstrip()[:1].casefold() != other.lstrip()[:1].casefold():  # settles it, nearly always
        return False
    return "".join(one.split()).casefold() == "".join(other.split()).casefold()


@dataclass(frozen=True, config=STRICT)
class Boilerplate:
    """Keep answers that do not begin with talk about the assistant or with a refusal.

    Case, white space and punctuation make no difference, in any script. Only the beginning counts,
    so an answer that quotes such a phrase stays.
    """

    version: ClassVar[int] = 1
    phrases: Phrases
    within_characters: Annotated[int, Field(ge=1, strict=True)]  # of the answer's beginning

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the phrase."""
        for answer in learned_answers(record):
            if phrase := self._spotter.find(answer, within=self.within_characters):
                return Fault(phrase, f"not in the first {self.within_characters} characters")
        return record

    @cached_property
    def _spotter(self) -> "_Spotter":
        return _Spotter(self.phrases)


@dataclass(frozen=True, config=STRICT)
class FlaggedWords:
    """Keep rows without any of the user's own words, in the prompt or in an answer.

    Words match whole ("ass" is not in "assistant"), phrases too; Chinese matches anywhere.
    """

    version: ClassVar[int] = 1
    words: Phrases

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the word."""
        texts = [message["content"] for message in record.messages]
        for text in [*texts, record.rejected or "", *(record.choices or ())]:
            if word := self._spotter.find(text, within=len(text)):
                return Fault(word, "none of data.clean.flagged_words.words")
        return record

    @cached_property
    def _spotter(self) -> "_Spotter":
        return _Spotter(self.words)


class _Spotter:
    """Finds phrases word by word: quick where there is none, which is nearly everywhere."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases = [("".join(words(phrase)), _fenced(phrase), phrase) for phrase in phrases]

    def find(self, text: str, *, within: int) -> str | None:
        squeezed = _NO_WORD.sub("", text[:within].lower()) if self._phrases else ""
        for letters, fenced, phrase in self._phrases:
            if letters in squeezed and fenced in _fenced(text[: within + len(phrase)]):
                return phrase
        return None


_NO_WORD = re.compile(r"\W+")


def _fenced(text: str) -> str:
    return "\0".join(["", *words(text), ""])


@dataclass(frozen=True, config=STRICT)
class CutOff:
    """Keep answers that come to an end.

    Many good answers end without a full stop (lists, code, titles), so that alone proves nothing.
    Set aside is what ends in a comma, a colon or a word that asks for another one ("of", "和"), or
    leaves a bracket or a code fence open; and only if it is long: a short answer is seldom cut.
    """

    version: ClassVar[int] = 1
    min_characters: Count  # shorter answers are not judged

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the answer's end."""
        for answer in learned_answers(record):
            if len(answer) >= self.min_characters and _is_cut(answer):
                return Fault(answer[-_END_SHOWN:], "an answer that is finished")
        return record


_END_SHOWN = 40  # characters of a text in the reason
_OPEN_END = re.compile(  # signs and words behind which something has to follow
    r"[,，、:：\[]\s*\Z"
    r"|(?<![:;=-])[(（【《「](?:[^()（）\[\]【】《》「」\n]*\w)?\s*\Z"  # a bracket, but no :(
    r"|\b(?:the|an|and|or|nor|but|of|because|although|whether|while|with|between|including|such as"
    r"|than|whose|which|into|every|my|our|your|their|its)\s*\Z"
    r"|(?:以及|并且|但是|因为|或者|而且|例如|比如|包括|或)\s*\Z"
    r"|(?:(?<![总温柔缓饱调谐平随亲])和|(?<![参给赋])与)\s*\Z"  # but not 总和, 参与
)
_LAST = 60  # characters: a bounded search, however long the answer


def _is_cut(answer: str) -> bool:
    return answer.count("```") % 2 == 1 or _OPEN_END.search(answer[-_LAST:]) is not None
