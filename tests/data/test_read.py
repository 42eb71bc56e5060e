"""Every row of an Alpaca file comes out, as a record or with the reason why it is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loraflow.data.read import fingerprint, read_rows
from loraflow.data.records import Record, Rejected
from loraflow.errors import UserError
from tests.data.sources import alpaca, turn, write_rows

ROW = {"instruction": "你是谁？", "output": "家父是大理寺少卿甄远道。"}


def read(path: Path) -> list[Record | Rejected]:
    return list(read_rows(alpaca(path)))


def read_one(path: Path, row: Any) -> Record | Rejected:
    (result,) = read(write_rows(path, [row]))
    return result


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_list_and_lines_give_the_same_records(tmp_path: Path, name: str) -> None:
    rows = [ROW, {"instruction": "Add", "input": "1 and 2", "output": "3"}]
    assert read(write_rows(tmp_path / name, rows)) == [
        Record(turn("你是谁？", "家父是大理寺少卿甄远道。"), 1),
        Record(turn("Add\n1 and 2", "3"), 2),
    ]


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, name: str) -> None:
    path = write_rows(tmp_path / name, [ROW])
    plain = read(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path) == plain


def test_system_comes_first_and_history_before_the_question(tmp_path: Path) -> None:
    row = {**ROW, "system": "你是甄嬛。", "history": [["早", "早安"], ["冷吗", "不冷"]]}
    result = read_one(tmp_path / "rows.json", row)
    assert isinstance(result, Record)
    assert result.messages == (
        {"role": "system", "content": "你是甄嬛。"},
        *turn("早", "早安"),
        *turn("冷吗", "不冷"),
        *turn("你是谁？", "家父是大理寺少卿甄远道。"),
    )


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_optional_fields_are_as_none(tmp_path: Path, empty: str | None) -> None:
    row = {**ROW, "input": empty, "system": empty, "history": None}
    assert read_one(tmp_path / "a.json", row) == read_one(tmp_path / "b.json", ROW)


@pytest.mark.parametrize(
    "row",
    [
        None,
        5,
        "text",
        [],
        {},
        {"instruction": "q"},
        {"output": "a"},
        {"instruction": 5, "output": "a"},
        {"instruction": "q", "output": ["a"]},
        {"instruction": "q", "output": 0},
        {"instruction": "q", "input": 0, "output": "a"},
        {"instruction": "q", "system": ["s"], "output": "a"},
        {"instruction": "q", "output": "a", "history": "earlier"},
        {"instruction": "q", "output": "a", "history": [["question alone"]]},
        {"instruction": "q", "output": "a", "history": [["q", None]]},
        {"instruction": "q", "output": "a", "history": {"q": "a"}},
    ],
)
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_row_of_another_shape_is_rejected_as_it_was(tmp_path: Path, name: str, row: Any) -> None:
    result = read_one(tmp_path / name, row)
    assert isinstance(result, Rejected)
    assert (result.line, result.operator, result.original) == (1, "schema", row)


@pytest.mark.parametrize("line", ["{", "no JSON", '{"output": "a"', "[" * 100_000, "9" * 5_000])
def test_line_that_is_not_json_is_rejected_alone(tmp_path: Path, line: str) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [ROW])
    path.write_text(f"{path.read_text()}{line}\n{path.read_text()}")
    before, rejected, after = read(path)
    assert isinstance(rejected, Rejected)
    assert (rejected.line, rejected.operator, rejected.original) == (2, "json", line)
    assert [before.line, after.line] == [1, 3]


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [ROW])
    path.write_text(f"\n  \r\n{path.read_text()}\n{path.read_text()}")
    assert [row.line for row in read(path)] == [3, 5]


def test_unicode_line_break_does_not_split_a_row(tmp_path: Path) -> None:
    row = {"instruction": "above\u2028below\u0085end", "output": "a"}
    result = read_one(tmp_path / "rows.jsonl", row)
    assert isinstance(result, Record)
    assert result.prompt[0]["content"] == row["instruction"]


def nothing(_: Path) -> None:
    """Leave the path without a file."""


def make_folder(path: Path) -> None:
    path.mkdir()


def content(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (nothing, "does not exist"),
        (make_folder, "is a folder"),
        (content(b""), "is empty"),
        (content(b'{"instruction": "q"}\n{"instruction": "r"}'), r"is not JSON.*\.jsonl"),
        (content(b"[" * 100_000), "is not JSON"),
        (content(b"[" + b"9" * 5_000 + b"]"), "is not JSON"),
        (content(b'{"instruction": "q", "output": "a"}'), "holds a JSON dict, not a list"),
        (content('["你"]'.encode("gb18030")), "not UTF-8: byte 0xc4 at offset 2.*iconv"),
        (content('["a"]'.encode("utf-16")), "not UTF-8: byte 0xff at offset 0"),
    ],
)
def test_unusable_file_is_named(tmp_path: Path, make: Callable[[Path], None], match: str) -> None:
    path = tmp_path / "rows.json"
    make(path)
    with pytest.raises(UserError, match=rf"data\.path={path}.*{match}"):
        read(path)


def test_fingerprint_follows_the_content_not_the_place(tmp_path: Path) -> None:
    first, second = (write_rows(tmp_path / name, [ROW]) for name in ("a.json", "b.json"))
    assert fingerprint(alpaca(first)) == fingerprint(alpaca(second))
    write_rows(second, [{**ROW, "output": "另一个回答"}])
    assert fingerprint(alpaca(first)) != fingerprint(alpaca(second))


def test_fingerprint_of_a_missing_file_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.path=.*does not exist"):
        fingerprint(alpaca(tmp_path / "none.json"))
