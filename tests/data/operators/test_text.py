"""Editing operators repair what is broken and leave alone what was meant."""

# ruff: noqa: RUF001 - signs that look alike are what is tested

import unicodedata
from dataclasses import replace
from time import perf_counter

import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.operators.base import RowOperator
from loraflow.data.operators.markup import Html, Urls
from loraflow.data.operators.privacy import Pii
from loraflow.data.operators.text import (
    _SUSPECT,
    Invisible,
    SeedCleanText,
    Unicode,
    Whitespace,
)
from loraflow.data.records import Record, lettered
from tests.data.operators import (
    edited,
    hostile_texts,
    on_any_machine,
    preference,
    row,
    texts,
)

EDITING: list[RowOperator] = [
    Unicode(),
    Html(),
    Urls("[URL]"),
    Invisible(),
    Whitespace(),
    Pii(["email", "phone", "id_number", "ip", "card"]),
    SeedCleanText(),
]


@pytest.mark.parametrize("operator", EDITING, ids=lambda operator: type(operator).__name__)
@on_any_machine
@given(text=texts)
def test_editing_twice_is_editing_once(operator: RowOperator, text: str) -> None:
    once = edited(operator, text)
    assert edited(operator, once) == once


@pytest.mark.parametrize("operator", EDITING, ids=lambda operator: type(operator).__name__)
def test_time_is_linear_in_the_length_of_a_hostile_text(operator: RowOperator) -> None:
    for text in hostile_texts:
        start = perf_counter()
        edited(operator, text)
        assert perf_counter() - start < 5, text[:20]  # quadratic: minutes


@pytest.mark.parametrize("operator", [Html(), Invisible(), Whitespace(), SeedCleanText()], ids=repr)
def test_the_answer_of_a_multiple_choice_stays_one_of_its_options(operator: RowOperator) -> None:
    texts = ("<p>阿司匹林</p>", "\u200b 5 mg.", "头孢")
    for letter, line in zip("ABC", lettered(texts), strict=True):
        record = row(line, "\n".join(["首选？", *lettered(texts)]))
        found = operator(replace(record, kind="choice", label=letter, choices=texts))
        assert isinstance(found, Record)
        assert found.option_lines["ABC".index(letter)] == found.answer


def test_every_text_of_a_row_is_edited() -> None:
    after = Whitespace()(preference("good ", "bad "))
    assert isinstance(after, Record)
    assert (after.answer, after.rejected) == ("good", "bad")


@pytest.mark.parametrize(
    ("broken", "repaired"),
    [
        ("cafÃ©", "café"),
        ("donâ€™t â€œquoteâ€\x9d", "don’t “quote”"),
        ("ä½\xa0å¥½", "你好"),
        ("他说：cafÃ©很好。", "他说：café很好。"),
        ("line one\ncafÃ©\n你好", "line one\ncafé\n你好"),
        ("e\u0301", "é"),
    ],
)
def test_wrong_encoding_is_repaired_and_accents_composed(broken: str, repaired: str) -> None:
    assert edited(Unicode(), broken) == repaired


@pytest.mark.parametrize(
    "text",
    [
        "你好，世界！１２３（ＡＢＣ）“引号”——‘单’……·「」",
        "“curly” ‘quotes’ – — … ﬁ ﬂ ﬀ Ĳ ① ² ½ ™ ® ©",
        "&lt;b&gt; &amp; &nbsp;",
        "naïve café, Größe, œuvre, São Paulo, ¿Qué?, Žluťoučký kůň",
        "Привет “мир” Ελληνικά ½ × 3 ≤ 5 µm ± 2 °C £5 €100 ¥100",
        "│├──└ ┌─┐ (╯°□°)╯︵ ┻━┻",
        "ﾊﾝｶｸ カタカナ 한국어 العربية हिन्दी",
        "\x1b[31mred\x1b[0m\r\n\x0c\u2028",
    ],
)
def test_what_was_meant_survives_the_repair(text: str) -> None:
    assert edited(Unicode(), text) == text


@on_any_machine
@given(
    st.text(
        alphabet=st.sampled_from("".join(MOJIBAKE_CATEGORIES.values()) + "aZ 1，好"), max_size=8
    )
)
def test_quick_look_misses_no_text_that_ftfy_calls_bad(text: str) -> None:
    assert _SUSPECT.search(text) or not is_bad(text)


@on_any_machine
@given(st.text())
def test_result_is_composed(text: str) -> None:
    assert unicodedata.is_normalized("NFC", edited(Unicode(), text))


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("a\r\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h", "a\nb\nc\nd\ne\nf\ng\nh"),
        ("a  \nb\t\nc\u3000\nd\u00a0", "a\nb\nc\nd"),
        ("a\n\n\n\n\nb", "a\n\n\nb"),
        ("a\n \n\t\n  \nb", "a\n\n\nb"),
        ("\ufeffa", "\ufeffa"),
        ("  \n a \n ", "a"),
        (" \n", ""),
    ],
)
def test_whitespace_is_tidied(text: str, tidy: str) -> None:
    assert edited(Whitespace(), text) == tidy


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n\treturn 1\n\n\ndef g():\n    return  2",
        "第一段。\n\u3000\u3000第二段。",
        "a\u00a0b  c\td",
        "| a  | b |\n|----|---|",
    ],
)
def test_indentation_columns_and_two_blank_lines_stay(text: str) -> None:
    assert edited(Whitespace(), text) == text


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("a\0b\x07c\x7fd\x9fe", "abcde"),
        ("a\u200bb\u2060c\ufeffd\u00ade\u200ef\u202eg\u2069h", "abcdefgh"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a\u200db\u200cc 中\u200d文", "abc 中文"),
        ("👩\u200da", "👩a"),
        ("x\U000e0067\U000e007f\U0001f3f4\U000e0067", "x\U0001f3f4"),
    ],
)
def test_invisible_characters_are_removed(text: str, visible: str) -> None:
    assert edited(Invisible(), text) == visible


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d👩\u200d👧\u200d👦 ❤\ufe0f\u200d🔥 👩🏽\u200d⚕\ufe0f 1\ufe0f\u20e3",
        "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",  # flag of Wales
        "می\u200cخواهم क्\u200dष क्\u200cष ශ්\u200dරී",
        "a\tb\nc\r\nd\x0b\x0c\x85\u2028\u3000\u00a0",
        "葛\U000e0100",  # ideographic variation selector
    ],
)
def test_joiners_flags_and_line_breaks_stay(text: str) -> None:
    assert edited(Invisible(), text) == text


@pytest.mark.parametrize(
    ("text", "destroyed"),
    [
        ("血压120/80mmHg，体温38.5℃？", "血压12080mmHg体温385"),
        ("0.5 mg", "05 mg"),
        ("[MEDICAL] 问题：", "MEDICAL 问题"),
        ("if x == 1:\n    return -1", "if x 1 return 1"),
        ("हिन्दी", "हनद"),
    ],
)
def test_regex_of_the_seed_destroys_what_it_is_said_to(text: str, destroyed: str) -> None:
    assert edited(SeedCleanText(), text) == destroyed
