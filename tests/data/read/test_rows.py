"""Every row of every format comes out once, with its number, or with the reason why it does not."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.read.rows import RawRow, Unreadable, read_raw
from loraflow.errors import UserError
from tests.data.sources import arrow_stream, on_any_machine, write_rows, zstd

ROWS = [
    {"instruction": "你是谁？", "output": "家父是大理寺少卿甄远道。"},
    {"instruction": 'say "hi",\nplease', "output": "=cmd|calc\t😀"},
]
ROW = json.dumps(ROWS[0], ensure_ascii=False).encode()
FORMATS = ["json", "jsonl", "ndjson", "csv", "tsv", "parquet", "arrow", "feather"]


def read(path: Path, content: bytes | None = None) -> list[RawRow]:
    if content is not None:
        path.write_bytes(content)
    return list(read_raw(path))


def values(path: Path, content: bytes | None = None) -> list[Any]:
    """Return the rows without their numbers, JSON text parsed."""
    rows = [row for _, row in read(path, content)]
    return [json.loads(row) if isinstance(row, str) else row for row in rows]


def faults(rows: list[RawRow]) -> list[tuple[int, Any, Any, str]]:
    """Return number, operator, value and original of the unreadable rows."""
    return [
        (number, row.fault.operator, row.fault.value, row.original)
        for number, row in rows
        if isinstance(row, Unreadable)
    ]


@pytest.mark.parametrize("packer", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str, packer: str) -> None:
    assert values(write_rows(tmp_path / f"rows.{suffix}{packer}", ROWS)) == ROWS


@pytest.mark.parametrize("name", ["rows.arrow", "rows.arrow.gz", "rows.feather"])
def test_arrow_is_read_in_its_stream_format_too(tmp_path: Path, name: str) -> None:
    content = arrow_stream(ROWS)
    assert values(tmp_path / name, gzip.compress(content) if "gz" in name else content) == ROWS


@pytest.mark.parametrize("name", ["R.JSON", "R.JsonL", "R.CSV", "R.PARQUET", "R.JSONL.GZ"])
def test_case_of_the_suffix_makes_no_difference(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path / name.lower(), ROWS).rename(tmp_path / name)
    assert values(tmp_path / name) == ROWS


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "a.json.bz2", "json", "a.json.gz.zst"])
def test_unknown_suffix_names_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"data\.path={tmp_path / name} .*\.jsonl, .*\.zst"):
        read(tmp_path / name, b"[]")


@pytest.mark.parametrize("suffix", FORMATS[:-3])
def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, suffix: str) -> None:
    path = write_rows(tmp_path / f"rows.{suffix}", ROWS)
    assert values(path, b"\xef\xbb\xbf" + path.read_bytes()) == ROWS


@pytest.mark.parametrize("suffix", FORMATS[:-3])
@pytest.mark.parametrize(("codec", "byte"), [("utf-16-le", "ff"), ("utf-16-be", "fe")])
def test_utf16_is_an_error_that_names_the_byte(
    tmp_path: Path, suffix: str, codec: str, byte: str
) -> None:
    path = write_rows(tmp_path / f"rows.{suffix}", ROWS)
    content = ("\ufeff" + path.read_text(encoding="utf-8")).encode(codec)
    with pytest.raises(UserError, match=rf"data\.path={path} is UTF-16 .*0x{byte}.*iconv"):
        read(path, content)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_row_in_another_encoding_is_set_aside_with_its_bytes(tmp_path: Path, suffix: str) -> None:
    rows = [ROW, '{"问": 1}'.encode("gb18030"), ROW]
    content = b"\n".join(rows) if suffix == "jsonl" else b"[" + b", ".join(rows) + b"]"
    found = read(tmp_path / f"rows.{suffix}", content)
    value = "byte 0xce at offset 2 of the row"
    assert faults(found) == [(2, "encoding", value, r'{"\xce\xca": 1}')]
    assert [found[0][1], found[2][1]] == [ROW.decode()] * 2


def test_encoding_is_blamed_before_what_follows_from_it(tmp_path: Path) -> None:
    row = json.dumps({"q": "誠"}, ensure_ascii=False).encode("big5")  # ends in a backslash byte
    ((_, operator, *_),) = faults(read(tmp_path / "rows.json", b"[" + row + b"]"))
    assert operator == "encoding"


def test_offset_of_a_byte_counts_bytes(tmp_path: Path) -> None:
    for name, content in {"a.jsonl": b"%b", "a.json": b"[%b]"}.items():
        row = '{"a": "你好'.encode() + b'\xff"}'
        ((_, _, value, _),) = faults(read(tmp_path / name, content % row))
        assert value == "byte 0xff at offset 13 of the row"


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = read(tmp_path / "rows.jsonl", b"\n  \r\n" + ROW + b"\r\n\n" + ROW)
    assert rows == [(3, ROW.decode()), (5, ROW.decode())]


def test_line_breaks_of_unicode_do_not_split_a_row(tmp_path: Path) -> None:
    rows = [{"instruction": "above\u2028below\u0085end\x0b", "output": "a\x1cb"}]
    for suffix in FORMATS:
        assert values(write_rows(tmp_path / f"rows.{suffix}", rows)) == rows


def test_lines_that_are_no_json_are_handed_on_as_they_are(tmp_path: Path) -> None:
    lines = ["{", "no JSON", '{"a": "\0"}', "\0" * 5, "[" * 10_000]
    rows = read(tmp_path / "rows.jsonl", "\n".join(lines).encode())
    assert rows == list(enumerate(lines, start=1))


def test_line_of_50_mb_is_one_row(tmp_path: Path) -> None:
    long = b'{"a": "' + b"x" * 50_000_000 + b'"}'
    for name, content in {"a.jsonl": b"%b\n%b", "a.json": b"[%b,%b]"}.items():
        rows = read(tmp_path / name, content % (long, ROW))
        assert [len(str(row)) for _, row in rows] == [len(long), len(ROW.decode())]


def test_line_above_the_limit_is_set_aside_with_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loraflow.data.read.rows.LONGEST_RECORD", 1_000)
    monkeypatch.setattr("loraflow.data.read.rows.HEAD_KEPT", 10)
    long = b'\xef\xbb\xbf{"a": "' + b"x" * 4_000
    rows = read(tmp_path / "rows.jsonl", long + b"\n" + ROW)
    ((number, operator, value, original),) = faults(rows)
    assert (number, operator, original) == (1, "json", '{"a": "xxx')
    assert value == "4008 bytes"
    assert rows[1] == (2, ROW.decode())


@pytest.mark.parametrize("packer", [gzip.compress, zstd])
@pytest.mark.parametrize("suffix", FORMATS[:-3])
def test_rows_before_the_damage_survive_and_the_damage_is_a_row(
    tmp_path: Path, suffix: str, packer: Callable[[bytes], bytes]
) -> None:
    rows = [{"a": f"{number} {number**9}"} for number in range(40_000)]
    packed = packer(write_rows(tmp_path / f"rows.{suffix}", rows).read_bytes())
    path = tmp_path / f"rows.{suffix}{'.gz' if packer is gzip.compress else '.zst'}"
    found = read(path, packed[: len(packed) // 2])
    *broken, damage = faults(found)
    assert len(broken) <= 1  # the row that is cut
    assert damage[1] == "file"
    assert "the packed file is damaged" in damage[2]
    assert len({number for number, _ in found}) == len(found) > 5_000
    good = [row for _, row in found if not isinstance(row, Unreadable)][:-1]  # cut in .jsonl
    assert [json.loads(row) if isinstance(row, str) else row for row in good] == rows[: len(good)]


@pytest.mark.parametrize("packer", ["gz", "zst"])
def test_damaged_table_is_one_row_of_damage(tmp_path: Path, packer: str) -> None:
    path = write_rows(tmp_path / f"rows.parquet.{packer}", ROWS)
    ((_, operator, *_),) = faults(read(path, path.read_bytes()[:-20]))
    assert operator == "file"


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather"])
@pytest.mark.parametrize("content", [b"[]", b"PAR1", b"ARROW1", bytes(100), b"\xff" * 8])
def test_table_that_is_none_is_an_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"rows.{suffix}"
    with pytest.raises(UserError, match=rf"data\.path={path} (is damaged|cannot be read)"):
        read(path, content)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "stream"])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@on_any_machine
def test_damage_to_a_table_is_an_error_or_unseen_but_no_crash(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, place: float, byte: int
) -> None:
    """Arrow itself trusts what it reads, and a wrong offset would end the process."""
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix.replace('stream', 'arrow')}"
    rows = [{"a": f"你好 {number}", "b": [["x"] * (number % 3)]} for number in range(50)]
    write_rows(path, rows)
    content = bytearray(arrow_stream(rows) if suffix == "stream" else path.read_bytes())
    content[int(place * len(content))] = byte
    try:
        read(path, bytes(content))
    except UserError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (pa.array([2**60], pa.timestamp("s")), "a value that Python does not have"),
        (pa.StructArray.from_arrays([[1], [2]], ["x", "x"]), "a value that Python does not have"),
        (pa.array([b"\xff"]).view(pa.string()), "Invalid UTF8"),
    ],
)
def test_value_that_cannot_be_read_is_an_error(
    tmp_path: Path, column: pa.Array, match: str
) -> None:
    path = tmp_path / "rows.arrow"
    table = pa.table({"a": column})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(UserError, match=match):
        read(path)


def test_column_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table([["x"], ["y"]], names=["a", "a"]), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match="a column stands twice in a, a"):
        read(tmp_path / "rows.parquet")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_file_without_permission_is_an_error(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.json", ROWS)
    path.chmod(0)
    with pytest.raises(UserError, match=rf"data\.path={path} cannot be read: Permission denied"):
        read(path)


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "tsv"])
def test_file_of_nothing_has_no_rows(tmp_path: Path, suffix: str) -> None:
    for content in (b"\n", b"\xef\xbb\xbf", b"  \r\n \n"):
        assert read(tmp_path / f"rows.{suffix}", content) == []
