"""The stage writes every row once: to train on, held out, rejected, or counted as unused."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data import prepare as preparing
from loraflow.data.judge.verdicts import judge
from loraflow.data.prepare import prepare
from loraflow.errors import UserError
from tests.data.sources import (
    BAD,
    GOOD,
    file_data,
    on_any_machine,
    prepared,
    rows_of,
    turn,
    write_rows,
)


def contents(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [tuple(message["content"] for message in row["messages"]) for row in rows]


def test_rows_are_conserved(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.json", [*GOOD, *BAD])
    data = file_data(path, "data.train_rows=10", "data.split.held_out_rows=2")
    summary = prepared(data, tmp_path / "out")
    assert summary["counts"] == {
        "read": 24,
        "train": 10,
        "held_out": 2,
        "unused": 8,
        "rejected": 4,
    }
    assert summary["rejected_by"] == {"schema": 2, "empty_or_echoed": 1, "exact_duplicates": 1}
    for name in ("train", "held_out", "rejected"):
        assert len(rows_of(tmp_path / "out", name)) == summary["counts"][name]


def test_only_the_three_tables_are_left_behind(tmp_path: Path) -> None:
    prepared(file_data(write_rows(tmp_path / "rows.json", GOOD)), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"train.parquet", "held_out.parquet", "rejected.parquet"}


def test_chinese_text_survives_unchanged(tmp_path: Path) -> None:
    prepared(file_data(write_rows(tmp_path / "rows.jsonl", GOOD)), tmp_path / "out")
    rows = [row for side in ("train", "held_out") for row in rows_of(tmp_path / "out", side)]
    assert set(contents(rows)) == {(row["instruction"], row["output"]) for row in GOOD}


def test_table_of_kept_rows_has_the_columns_that_other_stages_read(tmp_path: Path) -> None:
    prepared(file_data(write_rows(tmp_path / "rows.jsonl", GOOD)), tmp_path / "out")
    row = rows_of(tmp_path / "out", "train")[0]
    number = row["line"] - 1
    assert len(row.pop("id")) == 16
    assert row == {
        "source": "rows.jsonl",
        "line": number + 1,
        "kind": "chat",
        "messages": [
            {**message, "learn": None} for message in turn(f"第{number}问", f"回答{number}")
        ],
        "rejected": None,
        "label": None,
        "choices": None,
    }


def test_rejected_rows_have_place_reason_and_original(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [*GOOD, GOOD[3]])
    with path.open("a") as file:
        file.write("{ 坏\n")
    prepared(file_data(path), tmp_path / "out")
    broken, copy = rows_of(tmp_path / "out", "rejected")
    assert list(copy.values()) == [
        "rows.jsonl",
        21,
        "exact_duplicates",
        '{"same_as": "rows.jsonl line 4"}',
        '"one of each"',
        json.dumps(GOOD[3], ensure_ascii=False),
    ]
    assert list(copy) == ["source", "line", "operator", "value", "threshold", "original"]
    assert (broken["line"], broken["operator"], broken["original"]) == (22, "json", "{ 坏")
    assert broken["threshold"] == '"one JSON value"'


def test_values_of_rejected_rows_are_json(tmp_path: Path) -> None:
    many = {"messages": [{"role": "user", "content": "x"}] * 900}
    rows = [{"messages": turn(f"q{number}", "a")} for number in range(9)]
    path = write_rows(tmp_path / "rows.jsonl", [*rows, many, *BAD])
    prepared(file_data(path), tmp_path / "out")
    rejected = rows_of(tmp_path / "out", "rejected")
    assert {row["operator"] for row in rejected} >= {"roles", "schema"}
    for row in rejected:
        json.loads(row["value"])
        json.loads(row["threshold"])


def test_funnel_follows_every_row_from_operator_to_operator(tmp_path: Path) -> None:
    rows = [*GOOD, {"instruction": " q", "output": "a "}, *BAD]
    summary = prepared(file_data(write_rows(tmp_path / "rows.json", rows)), tmp_path / "out")
    funnel = summary["funnel"]
    names = [step["operator"] for step in funnel]
    assert names[:2] == ["file", "encoding"]
    assert names[-3:] == ["exact_duplicates", "near_duplicates", "leak"]
    assert "pii" not in names  # switched off
    left = summary["counts"]["read"]
    for step in funnel:
        assert step["rows_in"] == left
        left -= step["rejected"]
    assert left == summary["counts"]["read"] - summary["counts"]["rejected"]
    assert {step["operator"]: step["edited"] for step in funnel if step["edited"]} == {
        "whitespace": 2
    }


def test_sources_and_samples_of_edits_are_named(tmp_path: Path) -> None:
    paths = [
        write_rows(tmp_path / "a.jsonl", GOOD),
        write_rows(tmp_path / "b.json", [{"question": " q", "answer": "a"}, 5]),
    ]
    summary = prepared(file_data(paths), tmp_path / "out")
    assert summary["sources"] == [
        {"name": "a.jsonl", "layout": "alpaca", "read": 20, "rejected": 0},
        {"name": "b.json", "layout": "question_answer", "read": 2, "rejected": 1},
    ]
    assert summary["edits"] == [
        {"operator": "whitespace", "source": "b.json", "line": 1, "before": " q", "after": "q"}
    ]


def test_same_source_gives_the_same_files(tmp_path: Path) -> None:
    data = file_data(
        write_rows(tmp_path / "rows.json", [*GOOD, *BAD]),
        "data.negatives=[shuffled,truncated,similar]",
    )
    assert prepared(data, tmp_path / "a") == prepared(data, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
lines = st.one_of(
    json_values.map(json.dumps).map(str.encode),
    st.binary(max_size=20),
    st.sampled_from(GOOD).map(json.dumps).map(str.encode),
    st.just(b'{"instruction": "half \\ud83d", "output": "ok"}'),
    st.just(b'{"instruction": "q\\u0000", "instruction": "q", "output": "a"}'),
)


@on_any_machine
@given(st.lists(lines, max_size=8))
def test_no_file_makes_the_stage_lose_a_row(
    tmp_path_factory: pytest.TempPathFactory, content: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    good = [json.dumps({**row, "input": part}).encode() for part in "abcde" for row in GOOD]
    written = b"\n".join([*good, *content])
    (folder / "rows.jsonl").write_bytes(written)
    summary = prepared(file_data(folder / "rows.jsonl"), folder / "out")
    rows = [line for line in written.split(b"\n") if line.strip()]
    assert summary["counts"]["read"] == len(rows)
    written_rows = sum(
        len(rows_of(folder / "out", name)) for name in ("train", "held_out", "rejected")
    )
    assert written_rows == len(rows)


@pytest.mark.parametrize(("learn", "flags"), [("last", [False, None]), ("all", [None, None])])
def test_earlier_answers_are_context_where_only_the_last_is_learned(
    tmp_path: Path, learn: str, flags: list[bool | None]
) -> None:
    rows = [{"messages": [*turn("q", f"a{n}"), *turn("r", f"b{n}")]} for n in range(5)]
    data = file_data(write_rows(tmp_path / "rows.jsonl", rows), f"data.learn={learn}")
    prepared(data, tmp_path / "out")
    for row in rows_of(tmp_path / "out", "train"):
        answers = [message for message in row["messages"] if message["role"] == "assistant"]
        assert [message["learn"] for message in answers] == flags


def test_negatives_are_counted(tmp_path: Path) -> None:
    data = file_data(write_rows(tmp_path / "rows.jsonl", GOOD), "data.negatives=[truncated]")
    summary = prepared(data, tmp_path / "out")
    assert summary["negatives"] == {"truncated": 20}
    assert all(row["rejected"] for row in rows_of(tmp_path / "out", "train"))


def test_conflicting_rows_are_counted(tmp_path: Path) -> None:
    rows = [*GOOD, {**GOOD[0], "output": "另一个回答"}]
    summary = prepared(file_data(write_rows(tmp_path / "a.json", rows)), tmp_path / "out")
    assert summary["conflicts"] == {"prompts": 1, "rows": 2}


def test_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", GOOD)

    def slow_judge(*arguments: Any) -> Any:
        write_rows(path, [*GOOD, GOOD[0]])
        return judge(*arguments)

    monkeypatch.setattr(preparing, "judge", slow_judge)
    with pytest.raises(UserError, match=r"data\.path=.*rows\.jsonl changed while it was read"):
        prepared(file_data(path), tmp_path / "out")


def test_content_of_another_version_is_refused(tmp_path: Path) -> None:
    data = file_data(write_rows(tmp_path / "rows.jsonl", GOOD))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="changed while it was read"):
        prepare(data, content="of yesterday", out=tmp_path / "out")


def test_damage_and_wrong_encoding_are_warned_of(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", GOOD)
    path.write_bytes(path.read_bytes() + b"\xc4\xe3\n{")
    warnings = prepared(file_data(path), tmp_path / "out")["warnings"]
    assert [warning.partition(" rows")[0] for warning in warnings] == [
        "1",
        "1 places could not be read as JSON; if a file ends early, its last",
    ]


def test_clean_data_is_warned_of_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", GOOD)
    assert prepared(file_data(path), tmp_path / "out")["warnings"] == []


def test_tables_are_readable_a_piece_at_a_time(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{number}", "output": f"a{number}"} for number in range(4100)]
    data = file_data(write_rows(tmp_path / "rows.jsonl", rows), "data/clean=none")
    prepared(data, tmp_path / "out")
    assert pq.ParquetFile(tmp_path / "out" / "train.parquet").num_row_groups == 3
