"""Decides row by row what is kept; a row that is not comes out too, with the reason."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from loraflow.config import DataConfig
from loraflow.data.records import Message, Record, Rejected, Row

Operator = Callable[[Record], Row]


def clean_rows(rows: Iterable[Row], data: DataConfig) -> Iterator[Row]:
    """Pass each record through the operators, in order, up to the first that rejects it."""
    operators = [_tidy_text, _require_texts, _limit_answer(*data.answer_characters), _drop_copies()]
    for row in rows:
        cleaned: Row = row
        for operator in operators:
            if isinstance(cleaned, Rejected):
                break
            cleaned = operator(cleaned)
        if isinstance(cleaned, Rejected) and isinstance(row, Record):
            cleaned = replace(cleaned, original=list(row.messages))  # as read, not as tidied
        yield cleaned


def _tidy_text(record: Record) -> Record:
    """Compose Unicode (NFC) and trim the ends; line breaks, tabs and joiners inside stay."""
    messages: tuple[Message, ...] = tuple(
        {**message, "content": unicodedata.normalize("NFC", message["content"]).strip()}
        for message in record.messages
    )
    return Record(messages, record.line)


def _require_texts(record: Record) -> Row:
    for message in record.messages:
        if not message["content"]:
            return _reject(record, "empty_text", message["role"], "some text")
    return record


def _limit_answer(shortest: int, longest: int) -> Operator:
    def limit(record: Record) -> Row:
        length = len(record.answer)
        if shortest <= length <= longest:
            return record
        return _reject(record, "answer_characters", length, [shortest, longest])

    return limit


def _drop_copies() -> Operator:
    first_line: dict[str, int] = {}

    def drop(record: Record) -> Row:
        line = first_line.setdefault(record.id, record.line)
        if line == record.line:
            return record
        return _reject(record, "exact_duplicate", f"same as line {line}", "one of each")

    return drop


def _reject(record: Record, operator: str, value: object, threshold: object) -> Rejected:
    return Rejected(record.line, operator, value, threshold, original=None)
