"""Spoilt answers are worse in the way that their kind says, and the same for the same seed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraflow.evaluate.judge.base import Exchange
from loraflow.evaluate.judge.spoil import KINDS, spoil
from tests.evaluate.judge.scripted import row

ENGLISH = "Salt dissolves in water, because water pulls its ions apart. It melts at 801.5 degrees."
CHINESE = "甄嬛的父亲是大理寺少卿甄远道，她十七岁进宫。后来她成了太后。"
JAPANESE = "東京は日本の首都です。人口はとても多いですよ。"
ROWS = [
    row("1", "What of salt?", ENGLISH),
    row("2", "甄嬛是谁？", CHINESE),
    row("3", "東京とは？", JAPANESE),
]


def spoilt(rows: list[Exchange], seed: int = 0) -> dict[tuple[str, str], str]:
    return {(pair.genuine.id, pair.kind): pair.spoilt.answers[-1] for pair in spoil(rows, seed)}


def test_every_kind_is_made_of_every_row() -> None:
    assert set(spoilt(ROWS)) == {(of.id, kind) for of in ROWS for kind in KINDS}


def test_wrong_question_takes_the_answer_of_another_row() -> None:
    answers = {of.answers[0] for of in ROWS}
    for of in ROWS:
        assert spoilt(ROWS)[of.id, "wrong_question"] in answers - {of.answers[0]}


def test_shuffled_keeps_words_and_characters() -> None:
    found = spoilt(ROWS)
    assert sorted(found["1", "shuffled"].split()) == sorted(ENGLISH.split())
    assert sorted(found["2", "shuffled"]) == sorted(CHINESE)
    assert "大理寺" in found["2", "shuffled"]  # words of the dictionary stay whole
    assert sorted(found["3", "shuffled"]) == sorted(JAPANESE)


def test_truncated_keeps_about_a_third_from_the_beginning() -> None:
    for of in ROWS:
        left = spoilt(ROWS)[of.id, "truncated"]
        assert of.answers[0].startswith(left)
        assert 0.2 < len(left) / len(of.answers[0]) < 0.45
    assert spoilt(ROWS)["1", "truncated"].split() == ENGLISH.split()[:5]


def test_refusal_speaks_the_language_of_the_answer() -> None:
    found = spoilt([*ROWS, row("4", "?", "Ответ на этот вопрос написан по-русски.")])
    assert "sorry" in found["1", "refusal"]
    assert "抱歉" in found["2", "refusal"]
    assert "申し訳" in found["3", "refusal"]
    assert ("4", "refusal") not in found


def test_repeated_says_the_first_clause_again_and_again() -> None:
    found = spoilt(ROWS)
    clause = "Salt dissolves in water,"
    assert found["1", "repeated"] == " ".join([clause] * 4)
    assert found["2", "repeated"] == "甄嬛的父亲是大理寺少卿甄远道，" * 2
    assert found["3", "repeated"] == "東京は日本の首都です。" * 2


@pytest.mark.parametrize("answer", ["", " \n", "Yes"])
def test_what_cannot_be_spoilt_is_left_out(answer: str) -> None:
    kinds = [pair.kind for pair in spoil([row("1", "?", answer)], 0)]
    assert kinds == (["empty", "refusal"] if answer.strip() else [])


def test_same_question_has_no_wrong_answer() -> None:
    rows = [row("1", "?", "One answer."), row("2", "?", "Another answer.")]
    assert not [pair for pair in spoil(rows, 0) if pair.kind == "wrong_question"]


def test_only_the_last_answer_of_a_conversation_is_spoilt() -> None:
    talk = Exchange("1", ("a", "b"), ("first answer here", "second answer here"))
    assert all(pair.spoilt.answers[0] == "first answer here" for pair in spoil([talk], 0))


def test_seed_decides() -> None:
    assert spoil(ROWS, 1) == spoil(ROWS, 1)
    assert spoilt(ROWS, 1)["1", "shuffled"] != spoilt(ROWS, 2)["1", "shuffled"]


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4), st.integers(0, 9))
def test_any_text_can_be_spoilt(answers: list[str], seed: int) -> None:
    rows = [row(str(n), f"question {n}", answer) for n, answer in enumerate(answers)]
    for pair in spoil(rows, seed):
        assert pair.spoilt.answers != pair.genuine.answers
        assert pair.spoilt.questions == pair.genuine.questions
