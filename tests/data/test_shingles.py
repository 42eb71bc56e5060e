"""Texts of any script are cut into the words by which rows are compared."""

# ruff: noqa: RUF001 - fullwidth signs and signs of arithmetic are what is tested

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.shingles import normalized, numbers, shingles, words
from tests.data.sources import on_any_machine


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("The cat, the DOG!", ["the", "cat", "the", "dog"]),
        ("你好，世界", ["你", "好", "世", "界"]),
        ("用Python3写代码", ["用", "python3", "写", "代", "码"]),
        ("カタカナ と ひらがな", list("カタカナとひらがな")),
        ("𠮷野家", ["𠮷", "野", "家"]),  # outside of the basic plane
        ("한국어 텍스트", ["한국어", "텍스트"]),  # Korean has spaces
        ("don't", ["don", "t"]),
        ("……！？", []),
        ("", []),
    ],
)
def test_character_of_a_script_without_spaces_is_a_word(text: str, parts: list[str]) -> None:
    assert words(text) == parts


def test_signs_are_parts_of_shingles() -> None:
    assert shingles("2+2", 1) == ["2", "+", "2"]
    assert shingles("2 - 2", 1) == ["2", "-", "2"]
    assert shingles("多少？", 2) == ["多\0少", "少\0？"]


def test_short_text_is_one_shingle() -> None:
    assert shingles("Hello World", 5) == ["hello\0world"]
    assert len(shingles("a b c d e", 5)) == 1
    assert len(shingles("a b c d e f", 5)) == 2


def test_text_without_words_has_a_shingle_as_well() -> None:
    assert shingles("", 5) == [""]


@on_any_machine
@given(st.text(), st.integers(1, 6))
def test_shingles_cover_the_text(text: str, n: int) -> None:
    parts = shingles(text, 1)
    assert len(shingles(text, n)) == max(1, len(parts) - n + 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("每日3次，每次500毫克", "3 500"),
        ("2.5 is not 25", "2 5 25"),
        ("a1b22", "1 22"),
        ("none", ""),
    ],
)
def test_numbers_stand_in_their_order(text: str, found: str) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is it?", "what  is IT"),
        ("你是谁？", "你是谁"),
        ("你 是谁", "「你是谁！」"),
        ("Straße", "STRASSE"),
        ("List: a, b; c.", "list a b c"),
        ("Add 1, 2 and 3", "Add 1 2 and 3."),
        ("a\n\tb", "a b"),
    ],
)
def test_case_spaces_and_punctuation_make_no_other_prompt(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)


@pytest.mark.parametrize(
    "prompts",
    [
        ["2+2=?", "2-2=?", "2*2=?", "2/2=?", "2%2=?", "2^2=?", "22=?"],
        ["6×3", "6÷3", "6＋3", "6－3", "6 ± 3", "63"],
        ["x < y", "x > y", "x = y", "x ≤ y", "x ≥ y", "x ≠ y"],
        ["1.5+1.5", "15+15", "1.5+15"],
        ["sort 1, 12", "sort 11, 2", "sort 112"],
        ["Convert $5", "Convert €5", "Convert £5", "Convert ￥5"],
        ["What does 😀 mean?", "What does 😢 mean?", "What does it mean?"],
        ["की", "का", "के"],  # Hindi: vowels are marks
        ["?", "!", "。"],
        ["a_b", "ab"],
    ],
)
def test_what_changes_the_question_makes_another_prompt(prompts: list[str]) -> None:
    for one, other in combinations(prompts, 2):
        assert normalized(one) != normalized(other)


@on_any_machine
@given(st.text())
def test_normalizing_keeps_neither_case_nor_outer_space(text: str) -> None:
    assert normalized(f" {text}\n") == normalized(text)
    assert normalized(normalized(text)) == normalized(text)
