"""The one shape of a row after reading, and why a row is set aside."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any, Literal

import orjson

Message = Mapping[str, Any]
"""{"role": "system" | "user" | "assistant" | "tool", "content": text}, and "learn": False where an
answer is only context."""

Kind = Literal["chat", "text", "preference", "kto", "classify", "choice"]


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation that ends with an answer to learn; raw text is an answer alone."""

    messages: tuple[Message, ...]
    kind: Kind = "chat"
    rejected: str | None = None  # preference: the answer that is worse than the last message
    label: str | None = None  # classify: the class; kto: "true" or "false"
    choices: tuple[str, ...] | None = None  # choice: all options, the right one among them

    @property
    def id(self) -> str:
        """Name the row by its content (64 bits in hexadecimal): the same in every run."""
        messages = [[part["role"], part["content"], is_learned(part)] for part in self.messages]
        content = orjson.dumps([messages, self.rejected, self.label, self.choices])
        return hashlib.sha256(content).hexdigest()[:16]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All that comes before the answer."""
        return self.messages[: self.answer_at]

    @property
    def question(self) -> str:
        """The text that the answer answers; empty for raw text."""
        return self.prompt[-1]["content"] if self.prompt else ""

    @property
    def answer(self) -> str:
        """The text to learn."""
        content: str = self.messages[self.answer_at]["content"]
        return content

    @property
    def option_lines(self) -> tuple[str, ...]:
        """All options of a multiple choice, as its question shows them and an answer names them."""
        return lettered(self.choices or ())

    @property
    def answer_at(self) -> int:
        """Where the last learned message stands; the last one if none is."""
        last = len(self.messages) - 1
        for at in range(last, -1, -1):
            if is_learned(self.messages[at]):
                return at
        return last


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row is set aside: what was measured, and what would have been allowed."""

    value: Any
    threshold: Any
    operator: str | None = None  # what found it, where that is not who reports it


def is_learned(message: Message) -> bool:
    """Tell whether an answer is to be learned; those of other roles never are."""
    return message["role"] == "assistant" and message.get("learn") is not False


def lettered(texts: Sequence[str]) -> tuple[str, ...]:
    """Return options behind their letters: A. 阿司匹林, B. ..."""
    return tuple(map("{}. {}".format, ascii_uppercase, texts))


def edit_texts(record: Record, edit: Callable[[str], str]) -> Record:
    """Return `record` with every text edited, or the very same object where nothing changed.

    An answer that is an option stays one, letter by letter.
    """
    texts = [message["content"] for message in record.messages]
    edited = [edit(text) for text in texts]
    rejected = None if record.rejected is None else edit(record.rejected)
    choices = None if record.choices is None else tuple(map(edit, record.choices))
    if choices is not None and record.answer in record.option_lines:
        right = record.option_lines.index(record.answer)
        edited[record.answer_at] = lettered(choices)[right]
    if edited == texts and rejected == record.rejected and choices == record.choices:
        return record
    messages = tuple(
        {**message, "content": text} for message, text in zip(record.messages, edited, strict=True)
    )
    return replace(record, messages=messages, rejected=rejected, choices=choices)
