"""CSV and TSV give each row with its line, and a broken row takes none of the others along."""

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.read.delimited import read_delimited
from loraflow.data.read.encoding import RawRow, Unreadable
from loraflow.errors import UserError
from tests.data.sources import on_any_machine

CELLS = st.text(st.characters(codec="utf-8"), max_size=12) | st.text('",\n\r\t= 你', max_size=8)


def read(path: Path, content: str | bytes) -> list[RawRow]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_delimited(path, "\t" if path.suffix == ".tsv" else ","))


def faults(rows: list[RawRow]) -> list[tuple[int, str, str]]:
    """Return line, operator and original of the unreadable rows."""
    return [
        (line, str(row.fault.operator), row.original)
        for line, row in rows
        if isinstance(row, Unreadable)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


@given(st.lists(st.tuples(CELLS, CELLS), max_size=8), st.sampled_from([",", "\t"]))
@on_any_machine
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([("q", "a"), *rows])
    path = tmp_path_factory.getbasetemp() / ("rows.tsv" if delimiter == "\t" else "rows.csv")
    found = [row for _, row in read(path, text.getvalue())]
    assert found == [{"q": question, "a": answer} for question, answer in rows]


def test_formula_stays_as_it_is(path: Path) -> None:
    formula = "=cmd|' /C calc'!A0"
    assert read(path, f"q,a\n{formula},@SUM(1)\n") == [(2, {"q": formula, "a": "@SUM(1)"})]


def test_row_has_the_number_of_the_line_that_it_begins_on(path: Path) -> None:
    rows = read(path, 'q,a\n"1\n2",3\r\n\n4,"5\r\n\r\n6"\n7,8')
    assert [line for line, _ in rows] == [2, 5, 8]
    assert rows[1][1] == {"q": "4", "a": "5\r\n\r\n6"}


def test_wrong_number_of_cells_is_set_aside_with_all_of_them(path: Path) -> None:
    rows = read(path, "q,a\n1,2,问\n3\n4,5\n")
    assert faults(rows) == [(2, "csv", "1,2,问"), (3, "csv", "3")]
    assert rows[-1] == (4, {"q": "4", "a": "5"})


@pytest.mark.parametrize(
    "broken",
    ['"never closed,2', '1,"never closed', '1,"he said "no" twice"', '"1"x,2', '1,"2" '],
)
@pytest.mark.parametrize("after", ["3,4\n5,6\n", '3,"4"\n"5",6\n'])
def test_quote_in_a_wrong_place_costs_its_own_row(path: Path, broken: str, after: str) -> None:
    rows = read(path, f"q,a\n{broken}\n{after}")
    assert faults(rows) == [(2, "csv", broken)]
    assert [line for line, _ in rows] == [2, 3, 4]


def test_broken_row_over_several_lines_gives_back_all_but_the_first(path: Path) -> None:
    rows = read(path, 'q,a\n1,"2\n3,4\n5,6\n7,"8" 9\n')
    assert faults(rows) == [(2, "csv", '1,"2'), (5, "csv", '7,"8" 9')]
    assert rows[1:3] == [(3, {"q": "3", "a": "4"}), (4, {"q": "5", "a": "6"})]


def test_lines_of_a_broken_cell_do_not_become_rows(path: Path) -> None:
    code = '1,"def f(x):\n    return x\n\nprint(f(1), f(2))\nsays "no", and goes on\nend"'
    rows = read(path, f"q,a\n{code}\n3,4\n")
    assert [row for _, row in rows if not isinstance(row, Unreadable)] == [{"q": "3", "a": "4"}]
    assert "\n".join(original for _, _, original in faults(rows)) == code


def test_row_of_too_few_cells_gives_back_the_rows_that_it_swallowed(path: Path) -> None:
    rows = read(path, 'q,a\n"1,2\n3,4\n\n5,6"\n7,8\n')
    assert faults(rows) == [(2, "csv", '"1,2')]
    assert [line for line, _ in rows] == [2, 3, 5, 6]


def test_many_quotes_that_are_never_closed_take_no_time(path: Path) -> None:
    rows = read(path, "q,a\n" + '1,"2\n' * 100_000)
    assert sum(original.count("\n") + 1 for _, _, original in faults(rows)) == 100_000


def test_nul_is_text(path: Path) -> None:
    assert read(path, "q,a\n1\0,\0\n") == [(2, {"q": "1\0", "a": "\0"})]


def test_byte_order_mark_is_no_part_of_the_first_column(path: Path) -> None:
    assert read(path, "\ufeffq,a\n1,2\n") == [(2, {"q": "1", "a": "2"})]


def test_empty_lines_before_the_head_are_skipped(path: Path) -> None:
    assert read(path, "\n\r\nq,a\n1,2\n") == [(4, {"q": "1", "a": "2"})]


def test_column_without_a_name_as_pandas_writes_it_is_numbered(path: Path) -> None:
    assert read(path, ",q,a\n0,1,2\n") == [(2, {"column 1": "0", "q": "1", "a": "2"})]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("q,a,q\n1,2,3\n", "q stands there twice"),
        ('"q,a\n1,2\n', "no readable head line"),
        ("问题,a\n1,2\n".encode("gb18030"), "not UTF-8: byte 0xce at offset 0"),
        ("q,a\n1,2\n".encode("utf-16"), "UTF-16 .*0xff"),
    ],
)
def test_unusable_head_line_is_an_error(path: Path, content: str | bytes, match: str) -> None:
    with pytest.raises(UserError, match=rf"data\.path={path}.*{match}"):
        read(path, content)


def test_row_that_is_not_utf8_is_set_aside_with_its_bytes(path: Path) -> None:
    rows = read(path, b'q,a\n1,\xc4\xe3\n\xff"3,"4" 5\n6,\xe4\xbd\xa0\n')
    assert faults(rows) == [(2, "encoding", r"1,\xc4\xe3"), (3, "encoding", r'\xff"3,"4" 5')]
    assert rows[-1] == (4, {"q": "6", "a": "你"})


def test_answer_that_damage_cuts_short_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    packed = gzip.compress(b"q,a\n1,2\n3,cut")
    rows: list[RawRow] = []
    path.write_bytes(packed[:-4])
    with pytest.raises(Exception, match="end-of-stream"):
        rows.extend(read_delimited(path, ","))
    assert faults(rows) == [(3, "csv", "3,cut")]


def test_line_that_is_too_long_is_set_aside_with_its_head(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loraflow.data.read.delimited.LONGEST_RECORD", 100)
    monkeypatch.setattr("loraflow.data.read.delimited.HEAD_KEPT", 10)
    rows = read(path, f'q,a\n1,"2\n3,{"x" * 1_000}\n4,5\n')
    assert faults(rows) == [(2, "csv", '1,"2'), (3, "csv", "3,xxxxxxxx")]
    assert rows[-1] == (4, {"q": "4", "a": "5"})
