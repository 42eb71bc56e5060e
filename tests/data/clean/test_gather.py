"""All sources come together, each with its own layout, the same whatever the machine."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from loraflow.config import DataConfig
from loraflow.data.clean import gather as gathering
from loraflow.data.clean.gather import Gathered, clean_head, gather
from loraflow.data.read.sources import HELD_OUT
from loraflow.data.tables import REJECTED, TableWriter
from loraflow.errors import UserError
from tests.data.sources import file_data, write_rows

ALPACA = {"instruction": "你是谁？", "output": "家父是大理寺少卿甄远道。"}
CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
PAIR = {"instruction": "q", "chosen": "good", "rejected": "bad"}


def gather_to(folder: Path, data: DataConfig) -> Gathered:
    folder.mkdir()
    with TableWriter.writing(folder / "rejected.parquet", REJECTED) as rejected:
        return gather(data, rejected=rejected, scratch=folder)


def kept_rows(gathered: Gathered) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(gathered.kept).to_pylist()
    return rows


def layouts(gathered: Gathered) -> dict[str, str]:
    return {source.name: source.layout for source in gathered.sources}


def test_two_processes_write_what_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"instruction": f"第{number}问 ", "output": "答" * (number % 50)} for number in range(7000)
    ]
    write_rows(tmp_path / "a.jsonl", [*rows, {"output": "x"}])
    write_rows(tmp_path / "b.json", [CHAT, 5, CHAT])
    data = file_data([tmp_path / "a.jsonl", tmp_path / "b.json"])
    monkeypatch.setattr(gathering, "usable_cores", lambda: 2)
    one = gather_to(tmp_path / "one", data)
    monkeypatch.setattr(gathering, "_ALONE", 0)
    two = gather_to(tmp_path / "two", data)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    assert (one.edited, one.rejected_by, one.samples) == (two.edited, two.rejected_by, two.samples)
    assert one.sources == two.sources
    assert np.array_equal(one.line, two.line)
    assert np.array_equal(one.digests["content"], two.digests["content"])
    assert one.rejected_by == {"empty_or_echoed": 140, "schema": 2}


def test_every_file_of_a_folder_has_its_own_layout(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    write_rows(folder / "alpaca.json", [ALPACA])
    write_rows(folder / "more" / "chat.jsonl", [CHAT, CHAT])
    write_rows(folder / "pairs.jsonl", [PAIR])
    (folder / "table.csv").write_text("question,answer\n一加一？,二\n", encoding="utf-8")
    (folder / "text.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "t"}).encode()))
    (folder / "README.md").write_text("no data")
    gathered = gather_to(tmp_path / "out", file_data(folder))
    assert layouts(gathered) == {
        "data/alpaca.json": "alpaca",
        "data/more/chat.jsonl": "messages",
        "data/pairs.jsonl": "preference",
        "data/table.csv": "question_answer",
        "data/text.jsonl.gz": "text",
    }
    assert [row["kind"] for row in kept_rows(gathered)] == [
        *["chat"] * 3,
        "preference",
        "chat",
        "text",
    ]
    assert [source.read for source in gathered.sources] == [1, 2, 1, 1, 1]


def test_row_of_another_layout_than_its_file_is_rejected(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [ALPACA, ALPACA, CHAT])
    gathered = gather_to(tmp_path / "out", file_data(path))
    (source,) = gathered.sources
    assert source.as_dict() == {"name": "a.jsonl", "layout": "alpaca", "read": 3, "rejected": 1}


def test_layout_is_told_from_the_rows_behind_unreadable_ones(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [5, [], *[ALPACA] * 3])
    path.write_text("{\n" * 99 + path.read_text())
    gathered = gather_to(tmp_path / "out", file_data(path))
    assert layouts(gathered) == {"a.jsonl": "alpaca"}
    assert gathered.rejected_by == {"json": 99, "schema": 2}


def test_file_with_nothing_readable_is_rejected_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("no\njson\n{}\n[]\n")
    gathered = gather_to(tmp_path / "out", file_data(path))
    assert gathered.rejected_by == {"json": 2, "schema": 2}
    assert kept_rows(gathered) == []


def test_unknown_columns_are_named_with_the_key_that_maps_them(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"提问": "q", "回复": "a"}])
    match = (
        r"data\.path=a\.jsonl has the columns 提问, 回复, which fit no known layout; .*"
        r'"data\.columns=\{question:提问,answer:回复\}"'
    )
    with pytest.raises(UserError, match=match) as caught:
        gather_to(tmp_path / "out", file_data(path))
    assert "alpaca: instruction, output" in str(caught.value)


def test_chinese_columns_are_mapped(tmp_path: Path) -> None:
    rows = [{"提问": "你是谁？", "回复": "甄嬛", "标签": 1}]
    data = file_data(
        write_rows(tmp_path / "a.jsonl", rows), "++data.columns={question: '提问', answer: '回复'}"
    )
    (row,) = kept_rows(gather_to(tmp_path / "out", data))
    assert [part["content"] for part in row["messages"]] == ["你是谁？", "甄嬛"]
    assert json.loads(row["original"]) == rows[0]


def test_named_layout_is_taken_whatever_the_columns_look_like(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": "a", "text": "raw"}]
    path = write_rows(tmp_path / "a.jsonl", rows)
    assert layouts(gather_to(tmp_path / "auto", file_data(path))) == {"a.jsonl": "question_answer"}
    named = gather_to(tmp_path / "named", file_data(path, "data.layout=text"))
    assert layouts(named) == {"a.jsonl": "text"}
    assert [row["kind"] for row in kept_rows(named)] == ["text"]


def test_rows_carry_the_entry_that_they_came_with(tmp_path: Path) -> None:
    paths = [write_rows(tmp_path / f"{name}.jsonl", [ALPACA, ALPACA]) for name in "abc"]
    data = file_data(paths[:2], f"data.split.held_out_path={paths[2]}")
    gathered = gather_to(tmp_path / "out", data)
    assert gathered.entry.tolist() == [HELD_OUT, HELD_OUT, 0, 0, 1, 1]
    assert gathered.place(0) == "c.jsonl line 1"
    assert gathered.place(5) == "b.jsonl line 2"


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    paths = [write_rows(folder / "a.jsonl", [ALPACA]) for folder in (tmp_path, tmp_path / "x")]
    gathered = gather_to(tmp_path / "out", file_data(paths))
    assert [source.read for source in gathered.sources] == [1, 1]
    assert set(layouts(gathered)) == {str(path) for path in paths}


def test_file_of_the_folder_may_be_the_held_out_side(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    paths = [write_rows(folder / f"{name}.jsonl", [ALPACA]) for name in ("test", "train")]
    data = file_data(folder, f"data.split.held_out_path={paths[0]}")
    gathered = gather_to(tmp_path / "out", data)
    assert gathered.entry.tolist() == [HELD_OUT, 0]


def test_rows_and_texts_are_found_again_by_number(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{number}", "output": f"a{number}"} for number in range(4500)]
    gathered = gather_to(
        tmp_path / "out", file_data(write_rows(tmp_path / "a.jsonl", rows), "data/clean=none")
    )
    wanted = np.array([0, 1999, 2000, 4499])
    assert [row.record.question for row in gathered.rows(wanted)] == [f"q{row}" for row in wanted]
    assert [row.line for row in gathered.rows(wanted)] == [1, 2000, 2001, 4500]
    assert list(gathered.texts(wanted)) == [(row, [f"q{row}", f"a{row}"]) for row in wanted]
    assert list(gathered.rows(wanted[:0])) == []


def test_samples_are_taken_from_all_pieces_together(tmp_path: Path) -> None:
    rows = [{"instruction": f" {number} ", "output": "a"} for number in range(9000)]
    gathered = gather_to(tmp_path / "out", file_data(write_rows(tmp_path / "a.jsonl", rows)))
    assert gathered.edited == {"whitespace": 9000}
    assert [sample["line"] for sample in gathered.samples] == [1, 2, 2001, 2002, 4001]


def test_head_is_so_many_rows_of_every_source(tmp_path: Path) -> None:
    paths = [
        write_rows(tmp_path / f"{name}.jsonl", [ALPACA] * rows)
        for name, rows in (("a", 9), ("b", 2))
    ]
    parts, complete = clean_head(file_data(paths), 5)
    assert [(part.source, len(part.lines)) for part in parts] == [("a.jsonl", 5), ("b.jsonl", 2)]
    assert not complete
    assert clean_head(file_data(paths), 10)[1]
