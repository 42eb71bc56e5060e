"""Cleaning loses no row: each comes out once, in order, kept or with the reason."""

import json
import pickle
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.clean.cleaner import Cleaned, Cleaner, Piece, pieces_of
from loraflow.data.read.rows import RawRow, Unreadable
from loraflow.data.records import Fault
from loraflow.errors import UserError
from tests.data.sources import file_data, on_any_machine

Operators = dict[str, dict[str, Any] | None]

SHORT: dict[str, Any] = {"answer_characters": [1, 5], "prompt_characters": [0, 100]}
EDIT_THEN_JUDGE: Operators = {"whitespace": {}, "length": SHORT}
JUDGE_THEN_EDIT: Operators = {"length": SHORT, "whitespace": {}}
DATA = file_data("rows.jsonl")


def clean(
    rows: list[Any], operators: Operators, layout: str = "alpaca", *overrides: str
) -> Cleaned:
    """Clean rows, numbered from 1; a text is JSON as it stands in the file."""
    data = replace(file_data("rows.jsonl", *overrides), clean=operators)
    return Cleaner(data).clean(Piece("rows.jsonl", layout, list(enumerate(rows, start=1))))


def row(question: str, answer: str) -> str:
    return json.dumps({"instruction": question, "output": answer}, ensure_ascii=False)


def answers(cleaned: Cleaned) -> list[str]:
    return [kept["messages"][-1]["content"] for kept in cleaned.kept.to_pylist()]


texts = st.text(max_size=12) | st.sampled_from(["", " ", "答案", "e\u0301e", "\u3000ab\n"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)
raw_rows = st.one_of(
    st.builds(row, texts, texts),
    json_values.map(json.dumps),
    st.text(),
    st.fixed_dictionaries({"instruction": texts, "output": texts}),
    st.builds(Unreadable, st.just(Fault("byte 0xff", "UTF-8", operator="encoding")), st.text()),
)


@on_any_machine
@given(st.lists(raw_rows, max_size=8))
def test_every_row_comes_out_once_and_in_order(rows: list[Any]) -> None:
    cleaned = clean(rows, DATA.clean)
    kept, rejected = cleaned.kept["line"].to_pylist(), cleaned.rejected["line"].to_pylist()
    assert kept == sorted(kept) == cleaned.lines
    assert rejected == sorted(rejected)
    assert sorted([*kept, *rejected]) == list(range(1, len(rows) + 1))
    assert sum(cleaned.rejected_by.values()) == len(rejected)


@on_any_machine
@given(st.lists(raw_rows, max_size=4))
def test_same_rows_give_the_same_bytes(rows: list[Any]) -> None:
    first, second = (clean(rows, DATA.clean) for _ in range(2))
    assert first.kept.serialize() == second.kept.serialize()
    assert first.rejected.serialize() == second.rejected.serialize()


def test_operators_run_in_the_order_of_the_list() -> None:
    rows = [row("q", "  four  ")]
    assert answers(clean(rows, EDIT_THEN_JUDGE)) == ["four"]
    assert clean(rows, JUDGE_THEN_EDIT).rejected_by == {"length": 1}


def test_operator_set_to_null_does_not_run() -> None:
    assert answers(clean([row("q", " ok ")], {"whitespace": None})) == [" ok "]


def test_row_that_is_edited_and_then_rejected_is_set_aside_as_it_was_read() -> None:
    original = row("q", "  much too long  ")
    cleaned = clean([original], EDIT_THEN_JUDGE)
    assert cleaned.rejected.to_pylist() == [
        {
            "source": "rows.jsonl",
            "line": 1,
            "operator": "length",
            "value": '{"answer_characters": 13}',
            "threshold": "[1, 5]",
            "original": original,
        }
    ]
    assert cleaned.edited == {"whitespace": 1}


def test_row_that_is_kept_remembers_how_it_was_read() -> None:
    original = '{ "instruction": "q",  "output": " ok " }'
    cleaned = clean([original], EDIT_THEN_JUDGE)
    assert answers(cleaned) == ["ok"]
    assert cleaned.kept["original"].to_pylist() == [original]


def test_row_of_columns_is_remembered_as_json() -> None:
    cleaned = clean([{"instruction": "问", "output": "答"}, {"instruction": "问", "n": 1}], {})
    assert cleaned.kept["original"].to_pylist() == ['{"instruction": "问", "output": "答"}']
    assert cleaned.rejected["original"].to_pylist() == ['{"instruction": "问", "n": 1}']


def test_reading_names_what_it_could_not_read() -> None:
    damaged = Unreadable(Fault("byte 0xc4", "UTF-8", operator="encoding"), "\\xc4")
    cleaned = clean(["{", "[1]", damaged, row("q", "a")], DATA.clean)
    found = [(one["operator"], one["original"]) for one in cleaned.rejected.to_pylist()]
    assert found == [("json", "{"), ("schema", "[1]"), ("encoding", "\\xc4")]


def test_edits_and_rejections_are_counted_by_operator() -> None:
    rows = [row("q", " a "), row("q ", "b"), row("q", "c"), row("q", "too long"), row("q", "")]
    cleaned = clean(rows, {"whitespace": {}, "empty_or_echoed": {}, "length": SHORT})
    assert cleaned.edited == {"whitespace": 2}
    assert cleaned.rejected_by == {"length": 1, "empty_or_echoed": 1}


def test_sample_of_an_edit_shows_the_text_around_the_change() -> None:
    before, after = "前" * 500, "后" * 500
    cleaned = clean([row(f"{before}\u200b{after}", "a")], {"invisible": {}})
    assert cleaned.samples == [
        {
            "operator": "invisible",
            "source": "rows.jsonl",
            "line": 1,
            "before": f"{before[:60]}\u200b{after[:60]}",
            "after": f"{before[:60]}{after[:60]}",
        }
    ]


@pytest.mark.parametrize("text", ["a \r\nb", " a", "a \n" * 300, "\t" * 5000 + "a"])
def test_sample_of_an_edit_is_short_and_holds_the_difference(text: str) -> None:
    (sample,) = clean([row(text, "a")], {"whitespace": {}}).samples
    assert sample["before"] != sample["after"]
    assert len(sample["before"]) < 410
    assert sample["before"].removesuffix(" …") in text


def test_a_few_samples_of_each_operator_are_enough() -> None:
    rows = [row("q", f" {number}\u200b ") for number in range(9)]
    cleaned = clean(rows, {"invisible": {}, "whitespace": {}})
    assert cleaned.edited == {"invisible": 9, "whitespace": 9}
    assert Counter(sample["operator"] for sample in cleaned.samples) == {
        "invisible": 2,
        "whitespace": 2,
    }


def test_edit_of_a_worse_answer_is_shown_too() -> None:
    pair = {"instruction": "q", "chosen": "good", "rejected": " bad"}
    (sample,) = clean([pair], {"whitespace": {}}, "preference").samples
    assert (sample["before"], sample["after"]) == (" bad", "bad")


def test_fingerprints_are_those_of_the_kept_rows() -> None:
    cleaned = clean([row("q", "a"), "{", row("q", " a"), row("Q?", "b")], {"whitespace": {}})
    prints = cleaned.fingerprints
    assert prints.content[0] == prints.content[1] != prints.content[2]
    assert len(set(prints.prompt.tolist())) == 1
    assert prints.signature.shape == (3, 0)


def test_near_duplicates_ask_for_signatures() -> None:
    near: Operators = {"near_duplicates": {"threshold": 0.8, "ngram": 5}}
    assert clean([row("q", "a")], near).fingerprints.signature.shape == (1, 128)


def test_last_answer_alone_is_learned_where_asked_for() -> None:
    chat = {"messages": [{"role": role, "content": "x"} for role in ("user", "assistant") * 2]}
    cleaned = clean([chat], {}, "messages", "data.learn=last")
    flags = [message["learn"] for message in cleaned.kept["messages"].to_pylist()[0]]
    assert flags == [None, False, None, None]


def test_cleaner_works_the_same_in_another_process() -> None:
    rows: list[RawRow] = [(1, row("q", " a ")), (2, row("q", "作为AI语言模型，我不能")), (3, "{")]
    piece = Piece("rows.jsonl", "alpaca", rows)
    here = Cleaner(DATA)
    there = pickle.loads(pickle.dumps(here))
    one, other = here.clean(piece), pickle.loads(pickle.dumps(there.clean(piece)))
    assert one.kept.equals(other.kept)
    assert one.rejected.equals(other.rejected)
    assert (one.edited, one.rejected_by) == (other.edited, other.rejected_by)
    assert one.rejected_by == {"boilerplate": 1, "json": 1}


def test_unknown_operator_is_named() -> None:
    with pytest.raises(UserError, match=r"data\.clean\.whitespaces is no operator.*whitespace"):
        Cleaner(replace(DATA, clean={"whitespaces": {}}))


def lengths(rows: list[Any], size: int) -> list[int]:
    numbered = iter(list(enumerate(rows, start=1)))
    return [len(piece.rows) for piece in pieces_of(numbered, "a.jsonl", "alpaca", size)]


def test_piece_has_so_many_rows_at_most() -> None:
    assert lengths(["{}"] * 7, 3) == [3, 3, 1]
    assert lengths([], 3) == []


@pytest.mark.parametrize(
    "heavy",
    [
        "x" * 5_000_000,
        {"text": "x" * 5_000_000},
        {"messages": [{"role": "user", "content": "x" * 5_000_000}, {"role": None}]},
        Unreadable(Fault("", ""), "x" * 5_000_000),
    ],
    ids=["json", "columns", "nested", "unreadable"],
)
def test_piece_of_long_rows_has_fewer(heavy: Any) -> None:
    assert lengths([heavy] * 5, 100) == [2, 2, 1]


def test_pieces_hold_all_rows_in_order() -> None:
    rows: list[RawRow] = [(number, "{}") for number in range(10)]
    pieces = list(pieces_of(iter(rows), "a.jsonl", "alpaca", 4))
    assert [one for piece in pieces for one in piece.rows] == rows
    assert {(piece.source, piece.layout) for piece in pieces} == {("a.jsonl", "alpaca")}
