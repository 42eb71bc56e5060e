"""What is written is read back the same, in pieces."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.records import Fault, Message, Record
from loraflow.data.tables import (
    RECORDS,
    REJECTED,
    Row,
    TableWriter,
    count_rows,
    read_rows,
    rejection,
)
from tests.data.sources import on_any_machine, record, turn

ROWS = [
    record("你是谁？", "甄嬛 👩\u200d👩\n\ttab"),
    Record((*turn("q", ""), {"role": "assistant", "content": "a", "learn": False})),
    Record(({"role": "assistant", "content": "a", "learn": True},), kind="text"),
    Record(turn("q", "good"), kind="preference", rejected=""),
    Record(turn("q", "a"), kind="kto", label="false"),
    Record(turn("q", "A. 一"), kind="choice", label="A", choices=("一", "二")),
    Record(turn("q", "a"), choices=()),
]


def write(path: Path, records: list[Record]) -> Path:
    rows = [Row(one, "a.jsonl", line, one.id) for line, one in enumerate(records, start=1)]
    with TableWriter.writing(path, RECORDS) as table:
        table.add([row.as_columns() for row in rows])
    assert table.rows == len(records)
    return path


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path / "a.parquet", ROWS)))
    assert [row.record for row in rows] == ROWS
    assert [row.record.id for row in rows] == [one.id for one in ROWS] == [row.id for row in rows]
    assert [row.place for row in rows][:2] == ["a.jsonl line 1", "a.jsonl line 2"]


messages: st.SearchStrategy[Message] = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.text()},
    optional={"learn": st.booleans()},
)
records = st.builds(
    Record,
    st.lists(messages, max_size=4).map(tuple),
    rejected=st.none() | st.text(),
    label=st.none() | st.text(),
    choices=st.none() | st.lists(st.text()).map(tuple),
)


@on_any_machine
@given(rows=st.lists(records, max_size=4))
def test_any_record_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record]
) -> None:
    path = write(tmp_path_factory.mktemp("table") / "a.parquet", rows)
    assert [row.record for row in read_rows(path)] == rows


def test_file_without_rows_has_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [])
    assert list(read_rows(path)) == []
    assert count_rows(path) == 0
    assert pq.read_schema(path).names == RECORDS.names


def test_rows_are_written_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with TableWriter.writing(path, REJECTED) as table:
        for line in range(3):
            table.add([rejected(line)])
            table.add([])
    assert count_rows(path) == table.rows == 3
    assert pq.ParquetFile(path).num_row_groups == 3


def test_file_is_closed_when_its_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(ZeroDivisionError), TableWriter.writing(path, REJECTED) as table:
        table.add([rejected(1)])
        raise ZeroDivisionError
    assert count_rows(path) == 1


def rejected(line: int, value: Any = 0, threshold: Any = 1) -> dict[str, Any]:
    fault = Fault(value, threshold)
    return rejection(fault, operator="length", source="a.jsonl", line=line, original="{}")


def test_reason_of_a_rejection_is_json() -> None:
    row = rejected(7, {"空": "回答"}, [1, 8000])
    assert list(row.values()) == ["a.jsonl", 7, "length", '{"空": "回答"}', "[1, 8000]", "{}"]


def test_fault_may_name_who_found_it() -> None:
    fault = Fault("byte 0xff", "UTF-8", operator="encoding")
    row = rejection(fault, operator="schema", source="a", line=1, original="")
    assert row["operator"] == "encoding"


@pytest.mark.parametrize("value", ["答" * 9000, ["user"] * 9000, {"half": "\ud83d"}, {1, 2}])
def test_reason_is_short_valid_json_whatever_was_measured(value: Any) -> None:
    note = rejected(1, value)["value"]
    json.loads(note)
    note.encode()
    assert len(note) < 4500
