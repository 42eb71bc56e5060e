"""Cleaning loses no row: each comes out once, in order, kept or with the reason."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.clean import clean_rows
from loraflow.data.records import Message, Record, Rejected
from tests.data.sources import alpaca, on_any_machine, record, turn

Row = Record | Rejected
DATA = alpaca(None, answer_characters=(2, 10))

texts = st.text(max_size=12) | st.sampled_from(["", " ", "答案", "e\u0301e", "ée", "\u3000ab\n"])
messages = st.lists(st.builds(turn, texts, texts), min_size=1, max_size=2)
drafts = st.none() | messages


def as_rows(drafts: list[list[tuple[Message, ...]] | None]) -> list[Row]:
    """Number the drafts; None is a row that reading has rejected already."""
    return [
        Rejected(line, "json", "", "", "{")
        if turns is None
        else Record(tuple(message for turn in turns for message in turn), line)
        for line, turns in enumerate(drafts, start=1)
    ]


def clean(rows: list[Row]) -> list[Row]:
    return list(clean_rows(rows, DATA))


def clean_one(question: str, answer: str) -> Row:
    return clean([record(question, answer)])[0]


@on_any_machine
@given(st.lists(drafts).map(as_rows))
def test_every_row_comes_out_once_and_in_order(rows: list[Row]) -> None:
    assert [row.line for row in clean(rows)] == [row.line for row in rows]


@on_any_machine
@given(st.lists(drafts).map(as_rows))
def test_cleaning_twice_is_cleaning_once(rows: list[Row]) -> None:
    kept = [row for row in clean(rows) if isinstance(row, Record)]
    assert clean(list(kept)) == kept


@on_any_machine
@given(st.lists(drafts).map(as_rows))
def test_what_is_kept_is_different_and_within_limits(rows: list[Row]) -> None:
    kept = [row for row in clean(rows) if isinstance(row, Record)]
    assert len({row.id for row in kept}) == len(kept)
    assert all(2 <= len(row.answer) <= 10 for row in kept)
    contents = [message["content"] for row in kept for message in row.messages]
    assert all(text.strip() and unicodedata.is_normalized("NFC", text) for text in contents)


def test_row_rejected_by_reading_stays_as_it_is() -> None:
    rejected = Rejected(7, "json", "error", "JSON", "{")
    assert clean([rejected]) == [rejected]


@pytest.mark.parametrize(
    "text", ["甄嬛，你好！", "a\n\n\tb", "क्\u200dष", "①ﬁ", "👩\u200d👩", "don't"]
)
def test_inside_of_a_text_survives_unchanged(text: str) -> None:
    assert clean_one(text, "ok") == record(text, "ok")


def test_ends_are_trimmed_and_accents_composed() -> None:
    assert clean_one("\u3000 cafe\u0301\n", "\tok ") == record("caf\u00e9", "ok")


@pytest.mark.parametrize(("question", "answer", "role"), [(" ", "ok", "user"), ("q", "\n", None)])
def test_empty_text_names_its_role(question: str, answer: str, role: str | None) -> None:
    row = clean_one(question, answer)
    assert isinstance(row, Rejected)
    assert (row.operator, row.value) == ("empty_text", role or "assistant")


@pytest.mark.parametrize(("length", "kept"), [(1, False), (2, True), (10, True), (11, False)])
def test_limits_of_an_answer_are_inclusive(length: int, kept: bool) -> None:
    row = clean_one("q", "答" * length)
    assert isinstance(row, Record) == kept
    assert kept or (isinstance(row, Rejected) and row.value == length)


def test_copy_is_rejected_with_the_line_of_the_first() -> None:
    rows = [record("q", "ok", 3), record("q", "no", 4), record(" q", "ok\n", 9)]
    first, second, copy = clean(list(rows))
    assert [first, second] == rows[:2]
    assert isinstance(copy, Rejected)
    assert (copy.operator, copy.value) == ("exact_duplicate", "same as line 3")


def test_same_words_in_another_role_are_no_copy() -> None:
    longer = Record((*turn("q", "ok"), *turn("q", "ok")), 2)
    assert all(isinstance(row, Record) for row in clean([record("q", "ok"), longer]))
