"""Worse answers are really others, the same in every run, and drawn from the row's own side."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from loraflow.data.negatives import add_negatives
from loraflow.data.records import Record
from loraflow.data.shingles import normalized
from loraflow.data.tables import RECORDS, Row, TableWriter, read_rows
from tests.data.sources import record, turn

ENGLISH = [
    record(
        f"How do I cook dish {number}?",
        f"First wash the {number} carrots. Then cut them, all of them. Boil them for 2.5 hours!",
    )
    for number in range(8)
]
CHINESE = [
    record(f"第{number}种病怎么治疗？", f"先检查{number}次。然后服药，注意休息！最后复查血压。")
    for number in range(8)
]
CHOICE = Record(
    turn("哪种药？\nA. 阿司匹林\nB. 青霉素\nC. 胰岛素", "B. 青霉素"),
    kind="choice",
    label="B",
    choices=("阿司匹林", "青霉素", "胰岛素"),
)


def write(out: Path, train: Sequence[Record], held_out: Sequence[Record] = ()) -> Path:
    out.mkdir()
    for name, records in (("train", train), ("held_out", held_out)):
        rows = [Row(one, "a.jsonl", line, one.id) for line, one in enumerate(records, start=1)]
        with TableWriter.writing(out / f"{name}.parquet", RECORDS) as table:
            table.add([row.as_columns() for row in rows])
    return out


def read(out: Path, name: str = "train") -> list[Record]:
    return [row.record for row in read_rows(out / f"{name}.parquet")]


@pytest.mark.parametrize("kind", ["truncated", "shuffled", "similar"])
@pytest.mark.parametrize("records", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_rejected_answer_is_another_one(tmp_path: Path, kind: str, records: list[Record]) -> None:
    out = write(tmp_path / "out", records)
    assert add_negatives([kind], out) == {kind: 8}
    for before, after in zip(records, read(out), strict=True):
        assert after.rejected is not None
        assert after.rejected.strip()
        assert normalized(after.rejected) != normalized(after.answer)
        assert (after.messages, after.kind) == (before.messages, "preference")


@pytest.mark.parametrize("records", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_truncated_answer_is_a_beginning_of_the_answer(
    tmp_path: Path, records: list[Record]
) -> None:
    out = write(tmp_path / "out", records)
    add_negatives(["truncated"], out)
    for row in read(out):
        assert row.rejected
        assert row.answer.startswith(row.rejected)
        assert 0.1 < len(row.rejected) / len(row.answer) < 0.8


def test_shuffled_answer_has_the_same_sentences(tmp_path: Path) -> None:
    out = write(tmp_path / "out", [*ENGLISH, *CHINESE])
    add_negatives(["shuffled"], out)
    for row in read(out):
        assert row.rejected
        assert sorted(re.split(r"(?<=[.!] )|(?<=[。！])", f"{row.rejected} ")) == sorted(
            re.split(r"(?<=[.!] )|(?<=[。！])", f"{row.answer} ")
        )


@pytest.mark.parametrize(
    ("answer", "parts"),
    [("one two three four", {"one", "two", "three", "four"}), ("天地玄黄", set("天地玄黄"))],
)
def test_words_of_a_single_sentence_are_shuffled(
    tmp_path: Path, answer: str, parts: set[str]
) -> None:
    out = write(tmp_path / "out", [record("q", answer)])
    assert add_negatives(["shuffled"], out) == {"shuffled": 1}
    (row,) = read(out)
    assert row.rejected
    assert row.rejected != answer
    assert set(row.rejected.split(" ") if " " in answer else row.rejected) == parts


def test_three_sentences_always_find_another_order(tmp_path: Path) -> None:
    out = write(tmp_path / "out", [record(f"q{n}", f"甲{n}。乙{n}。丙{n}。") for n in range(60)])
    assert add_negatives(["shuffled"], out) == {"shuffled": 60}


def test_similar_question_lends_its_answer(tmp_path: Path) -> None:
    records = [
        record("怎么治疗高血压？", "服用降压药。"),
        record("How tall is Mount Everest?", "8849 metres"),
        record("怎么治疗低血压？", "多喝水。"),
        record("How tall is Mount Fuji?", "3776 metres"),
    ]
    out = write(tmp_path / "out", records)
    add_negatives(["similar"], out)
    assert [row.rejected for row in read(out)] == [
        "多喝水。",
        "3776 metres",
        "服用降压药。",
        "8849 metres",
    ]


def test_same_question_and_same_answer_are_not_similar_but_equal(tmp_path: Path) -> None:
    records = [
        record("怎么治疗高血压？", "服药。"),
        record("怎么治疗高血压", "运动。"),
        record("怎么治疗低血压？", "服药！"),
    ]
    out = write(tmp_path / "out", records)
    assert add_negatives(["similar"], out) == {"none": 1, "similar": 2}
    assert [row.rejected for row in read(out)] == [None, "服药！", "运动。"]


def test_choice_gets_a_wrong_option_in_the_form_of_the_right_one(tmp_path: Path) -> None:
    out = write(tmp_path / "out", [CHOICE, *ENGLISH[:1]])
    assert add_negatives(["choices"], out) == {"choices": 1, "none": 1}
    choice, plain = read(out)
    assert choice.rejected in ("A. 阿司匹林", "C. 胰岛素")
    assert (plain, plain.rejected) == (ENGLISH[0], None)


def test_given_negative_is_kept(tmp_path: Path) -> None:
    pair = Record(turn("q", "good one of four words"), kind="preference", rejected="bad")
    out = write(tmp_path / "out", [pair])
    assert add_negatives(["truncated", "shuffled"], out) == {"given": 1}
    assert read(out) == [pair]


@pytest.mark.parametrize(
    "one",
    [
        record("q", "Yes"),
        record("q", "是"),
        record("q", "a . ."),
        Record(({"role": "assistant", "content": "Raw text. It asks nothing. At all."},), "text"),
        Record(turn("q", "A bad answer. It is bad. Very bad."), "kto", label="false"),
        Record(turn("q", "A good answer. It is good. Very."), "kto", label="true"),
    ],
    ids=lambda one: one.kind,
)
def test_row_that_cannot_have_a_worse_answer_stays_as_it_is(tmp_path: Path, one: Record) -> None:
    out = write(tmp_path / "out", [one])
    assert add_negatives(["choices", "similar", "truncated", "shuffled"], out) == {"none": 1}
    assert read(out) == [one]


def test_each_side_draws_from_its_own_rows(tmp_path: Path) -> None:
    out = write(tmp_path / "out", CHINESE[:4], CHINESE[4:])
    assert add_negatives(["similar"], out) == {"similar": 8}
    for name in ("train", "held_out"):
        own = {row.answer for row in read(out, name)}
        assert {row.rejected for row in read(out, name)} <= own


def test_several_kinds_are_mixed_and_counted(tmp_path: Path) -> None:
    out = write(tmp_path / "out", [*ENGLISH, *CHINESE], [CHOICE])
    counts = add_negatives(["choices", "similar", "truncated", "shuffled"], out)
    assert sum(counts.values()) == 17
    assert set(counts) >= {"similar", "truncated", "shuffled"}


def test_same_rows_get_the_same_negatives_whatever_their_order(tmp_path: Path) -> None:
    kinds = ["truncated", "shuffled"]
    one, other = write(tmp_path / "a", ENGLISH), write(tmp_path / "b", ENGLISH[::-1])
    add_negatives(kinds, one)
    add_negatives(kinds, other)
    assert read(one) == read(other)[::-1]


def test_row_that_got_a_negative_gets_the_name_of_its_new_content(tmp_path: Path) -> None:
    out = write(tmp_path / "out", ENGLISH)
    add_negatives(["truncated"], out)
    for row in read_rows(out / "train.parquet"):
        assert row.id == row.record.id
        assert row.id not in {one.id for one in ENGLISH}


def test_no_kinds_leave_the_files_alone(tmp_path: Path) -> None:
    out = write(tmp_path / "out", ENGLISH)
    before = (out / "train.parquet").read_bytes()
    assert add_negatives([], out) == {}
    assert (out / "train.parquet").read_bytes() == before


@pytest.mark.parametrize("records", [[], [record("?", "one. two. three.")], [record("", "ab")]])
def test_questions_without_text_to_compare_are_no_error(
    tmp_path: Path, records: list[Record]
) -> None:
    out = write(tmp_path / "out", records)
    assert add_negatives(["similar"], out) == ({"none": 1} if records else {})
