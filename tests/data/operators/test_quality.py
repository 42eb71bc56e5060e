"""A row is set aside for what is wrong with it, and the reason is named."""

from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.operators.base import RowOperator
from loraflow.data.operators.quality import (
    Boilerplate,
    CutOff,
    EmptyOrEchoed,
    FlaggedWords,
    Length,
    Roles,
)
from loraflow.data.operators.repetition import CharacterRepetition, WordRepetition
from loraflow.data.records import Fault, Kind, Record
from tests.data.operators import hostile_texts, on_any_machine, preference, row, texts

BOILERPLATE = Boilerplate(["As an AI language model", "I can't assist", "作为AI语言模型"], 40)
FLAGGED = FlaggedWords(["ass", "Bad Word", "坏词"])
JUDGES: list[RowOperator] = [
    Roles(),
    Length((1, 100), (0, 100)),
    EmptyOrEchoed(),
    BOILERPLATE,
    FLAGGED,
    CutOff(0),
    CharacterRepetition(2, 0.5),
    WordRepetition(2, 0.5),
]
named = pytest.mark.parametrize("operator", JUDGES, ids=lambda judge: type(judge).__name__)


def conversation(roles: str, kind: Kind = "chat") -> Record:
    names = {"s": "system", "u": "user", "a": "assistant", "t": "tool", "x": "human"}
    return Record(tuple({"role": names[role], "content": role} for role in roles), kind=kind)


def fault(operator: RowOperator, record: Record) -> Any:
    found = operator(record)
    assert isinstance(found, Fault)
    return found.value


@named
@on_any_machine
@given(text=texts, other=texts | st.none())
def test_row_is_kept_as_it_is_or_set_aside(
    operator: RowOperator, text: str, other: str | None
) -> None:
    record = row(text) if other is None else preference(text, other)
    found = operator(record)
    assert found is record or isinstance(found, Fault)


@named
def test_time_is_linear_in_the_length_of_a_hostile_text(operator: RowOperator) -> None:
    for text in hostile_texts:
        start = perf_counter()
        operator(row(text, text))
        assert perf_counter() - start < 5, text[:20]  # quadratic: minutes


@pytest.mark.parametrize("roles", ["ua", "sua", "uaua", "uata", "suattaua"])
def test_turns_of_user_and_assistant_are_kept(roles: str) -> None:
    record = conversation(roles)
    assert Roles()(record) is record


@pytest.mark.parametrize(
    "roles", ["a", "au", "u", "s", "sa", "usa", "uua", "uaa", "uta", "uat", "xa"]
)
def test_other_turns_are_set_aside_with_their_roles(roles: str) -> None:
    record = conversation(roles)
    assert fault(Roles(), record) == [message["role"] for message in record.messages]


def test_raw_text_is_an_answer_alone() -> None:
    assert isinstance(Roles()(conversation("a", kind="text")), Record)
    assert fault(Roles(), conversation("ua" * 2 + "u", kind="text"))


@pytest.mark.parametrize(
    ("record", "value"),
    [
        (row("12", "question"), {"answer_characters": 2}),
        (row("1234567", "question"), {"answer_characters": 7}),
        (row("1234", "why"), {"prompt_characters": 3}),
        (preference("1234", "1"), {"rejected_characters": 1}),
    ],
)
def test_length_outside_of_the_limits_is_named(record: Record, value: dict[str, int]) -> None:
    assert fault(Length((3, 6), (4, 8)), record) == value


@pytest.mark.parametrize("answer", ["123", "123456", "答" * 6])
def test_limits_of_length_are_inclusive(answer: str) -> None:
    record = row(answer, "question")
    assert Length((3, 6), (8, 8))(record) is record
    raw = Record(({"role": "assistant", "content": answer},), kind="text")
    assert Length((3, 6), (8, 8))(raw) is raw


@pytest.mark.parametrize(
    ("record", "value"),
    [
        (row(" \n"), {"empty": "assistant"}),
        (row("a", "\u3000"), {"empty": "user"}),
        (preference("a", " "), {"empty": "rejected"}),
        (preference("a", " a\n"), {"same": "chosen and rejected"}),
        (row("Say  IT\nagain.", " say it again."), {"echo": "Say  IT\nagain."}),
    ],
)
def test_empty_and_repeated_texts_are_set_aside(record: Record, value: dict[str, str]) -> None:
    assert fault(EmptyOrEchoed(), record) == value


@pytest.mark.parametrize("record", [row("Yes.", "Yes?"), preference("a", "A"), row("1", "1+1=")])
def test_answer_with_another_sign_is_no_echo(record: Record) -> None:
    assert EmptyOrEchoed()(record) is record


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("As an AI language\nmodel, I do not", "As an AI language model"),
        ("Sorry; as an **AI** Language-Model.", "As an AI language model"),
        ("I\u2019m sorry, but I can\u2019t assist.", "I can't assist"),
        ("作为 AI 语言模型，我无法", "作为AI语言模型"),
        ("很抱歉，作为ai语言模型", "作为AI语言模型"),
    ],
)
def test_boilerplate_is_found_whatever_its_case_and_spaces(answer: str, phrase: str) -> None:
    assert fault(BOILERPLATE, row(answer)) == phrase


@pytest.mark.parametrize(
    "answer",
    [
        "It was an AI language modelling paper.",
        "It has an aileron.",
        "Refusals often begin with words such as: As an AI language model",
        "",
    ],
)
def test_other_answers_are_no_boilerplate(answer: str) -> None:
    record = row(answer)
    assert BOILERPLATE(record) is record


def test_only_answers_to_imitate_are_judged() -> None:
    refusal = "As an AI language model"
    records = [
        row("Yes.", refusal),
        preference("Yes.", refusal),
        Record(row(refusal).messages, kind="kto", label="false"),
        Record(({"role": "assistant", "content": refusal, "learn": False}, *row("Yes.").messages)),
    ]
    assert all(BOILERPLATE(record) is record for record in records)
    assert fault(BOILERPLATE, Record((*row(refusal).messages, *row("Yes.").messages)))


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (row("an ASS"), "ass"),
        (row("fine", "a bad\nword"), "Bad Word"),
        (row("这是坏词吗"), "坏词"),
        (preference("fine", "ass"), "ass"),
    ],
)
def test_flagged_word_is_found_in_any_text(record: Record, word: str) -> None:
    assert fault(FLAGGED, record) == word


@pytest.mark.parametrize("answer", ["assistant, class, bass", "bad words", "坏的词"])
def test_part_of_another_word_is_not_flagged(answer: str) -> None:
    record = row(answer)
    assert FLAGGED(record) is record


def test_empty_list_flags_nothing() -> None:
    record = row("ass")
    assert FlaggedWords([])(record) is record


@pytest.mark.parametrize(
    "end",
    [
        "first,",
        "首先，",
        "苹果、",
        "such as:",
        "of the",
        "苹果和",
        "因为",
        "(see",
        "```python\nx = 1",
    ],
)
def test_answer_that_asks_for_more_is_cut_off(end: str) -> None:
    assert fault(CutOff(20), row(f"A long enough answer, {end} \n")).strip().endswith(end[-3:])


@pytest.mark.parametrize(
    "end",
    [
        "done.",
        "完。",
        "item",
        "End",
        "```\nx = 1,\n```",
        ":(",
        "(0, 1]",
        "THE",
        "总和",
        "x = [1, 2]",
        "\\]",
        "🙂",
    ],
)
def test_other_ends_are_kept(end: str) -> None:
    record = row(f"A long enough answer. {end}")
    assert CutOff(20)(record) is record


def test_short_answer_is_not_judged_by_its_end() -> None:
    record = row("Dear Sir,")
    assert CutOff(20)(record) is record
