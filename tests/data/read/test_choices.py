"""Options and the right one are found in the shapes that exam questions come in."""

from typing import Any

import pytest

from loraflow.data.read.choices import from_choice
from loraflow.data.read.fields import Unfit
from loraflow.data.records import Record

TEXTS = ["阿司匹林", "青霉素", "头孢"]
LETTERS = dict(zip("ABC", TEXTS, strict=True))
RIGHT = Record(
    (
        {"role": "user", "content": "首选药物是？\nA. 阿司匹林\nB. 青霉素\nC. 头孢"},
        {"role": "assistant", "content": "B. 青霉素"},
    ),
    "choice",
    label="B",
    choices=("阿司匹林", "青霉素", "头孢"),
)


@pytest.mark.parametrize(
    "options",
    [
        {"options": LETTERS},
        {"options": {key.lower(): text for key, text in LETTERS.items()}},
        {"options": {**LETTERS, "D": None, "E": " "}},
        {"options": TEXTS},
        {"choices": TEXTS},
        {"choices": {"text": TEXTS, "label": ["A", "B", "C"]}},
        {"options": [{"key": key, "value": text} for key, text in LETTERS.items()]},
        {"choices": [{"label": key, "text": text} for key, text in LETTERS.items()]},
        {"options": ["A. 阿司匹林", "B．青霉素", "（C）头孢"]},
        {"options": "A 阿司匹林\nB 青霉素\n\nC 头孢\n"},
        LETTERS,
        {**LETTERS, "D": float("nan")},
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        {"answer": "青霉素"},
        {"answer": "B"},
        {"answer": "(b)"},
        {"answer": "B. 青霉素"},
        {"answer": 1},
        {"answer": 1.0},
        {"answer": ["青霉素"]},
        {"answer_idx": "B"},
        {"answer_idx": 1},
        {"answer_idx": "1"},
        {"answerKey": "B"},
        {"answer_idx": "B", "answer": "青霉素"},
        {"answer_idx": "B", "answer": "an explanation in other words"},
    ],
)
def test_shapes_of_options_and_answer_give_one_record(
    options: dict[str, Any], answer: dict[str, Any]
) -> None:
    assert from_choice({"question": "首选药物是？", **options, **answer}) == RIGHT


def test_options_are_lettered_by_their_place() -> None:
    row = {"question": "q", "options": {"1": "one", "2": "", "3": "three"}, "answer": "3"}
    record = from_choice(row)
    assert (record.label, record.choices, record.answer) == ("B", ("one", "three"), "B. three")


def test_number_is_the_place_but_text_is_the_option() -> None:
    row = {"question": "1 + 0?", "choices": ["0", "1", "2"]}
    assert from_choice({**row, "answer": 2}).label == "C"
    assert from_choice({**row, "choices": ["2", "1", "0"], "answer": "2"}).label == "A"


def test_letter_as_index_comes_before_an_option_that_is_a_letter() -> None:
    row = {"question": "Which?", "options": {"A": "B", "B": "C"}}
    assert from_choice({**row, "answer_idx": "B"}).label == "B"
    assert from_choice({**row, "answer": "B"}).label == "A"


def test_system_stands_before_the_question() -> None:
    record = from_choice({"question": "q", "options": TEXTS, "answer": "B", "system": "你是医生。"})
    assert [message["role"] for message in record.messages] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("row", "needed"),
    [
        ({"options": LETTERS, "answer": "B"}, "question"),
        ({"question": "q", "answer": "B"}, "2 to 26 options"),
        ({"question": "q", "options": {"A": "one"}, "answer": "A"}, "2 to 26 options"),
        ({"question": "q", "options": "free text", "answer": "A"}, "options as list"),
        ({"question": "q", "options": 4, "answer": "A"}, "options as list"),
        ({"question": "q", "options": [str(n) for n in range(27)], "answer": 1}, "options as list"),
        ({"question": "q", "options": [1, 2], "answer": 1}, "text in an option"),
        ({"question": "q", "options": TEXTS}, "one of the options"),
        ({"question": "q", "options": TEXTS, "answer": "布洛芬"}, "one of the options"),
        ({"question": "q", "options": TEXTS, "answer": "D"}, "one of the options"),
        ({"question": "q", "options": TEXTS, "answer": "AB"}, "one of the options"),
        ({"question": "q", "options": TEXTS, "answer": 3}, "one of the options"),
        ({"question": "q", "options": TEXTS, "answer": -1}, "one of the options"),
        ({"question": "q", "options": TEXTS, "answer": True}, "one of the options"),
        ({"question": "q", "options": TEXTS, "answer": ["A", "B"]}, "one of the options"),
        ({"question": "q", "options": [*TEXTS, None], "answer": "D"}, "one of the options"),
        (
            {"question": "q", "options": TEXTS, "answer": "头孢", "answer_idx": "B"},
            "one of the options",
        ),
    ],
)
def test_question_without_a_clear_answer_says_so(row: dict[str, Any], needed: str) -> None:
    with pytest.raises(Unfit, match=needed):
        from_choice(row)
