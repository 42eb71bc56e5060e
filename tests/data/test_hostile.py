"""Whatever the files hold, preparing them loses no row, or ends with an error for the user."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraflow.data.prepare import prepare
from loraflow.data.read.sources import fingerprint
from loraflow.errors import UserError
from tests.data.sources import file_data, on_any_machine, prepared, rows_of, write_rows

FILES = ("train", "held_out", "rejected")
GOOD = [
    {"instruction": f"第{number}个问题是什么？", "output": f"这是第{number}个回答。"}
    for number in range(12)
]


def as_line(row: Any) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["instruction", "output", "history", "role", "content", "learn", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
LAYOUTS: list[Callable[[int], dict[str, Any]]] = [
    lambda n: {
        "messages": [
            {"role": "user", "content": f"问{n}"},
            {"role": "assistant", "content": f"答{n}"},
        ],
        "tools": "[]",
        "system": "s",
    },
    lambda n: {
        "conversations": [{"from": "human", "value": f"问{n}"}, {"from": "gpt", "value": f"答{n}"}],
        "system": "",
    },
    lambda n: {"prompt": f"问{n}", "chosen": f"好{n}", "rejected": f"坏{n}", "system": "s"},
    lambda n: {"prompt": f"问{n}", "completion": f"答{n}", "label": n % 2 == 0},
    lambda n: {
        "question": f"问{n}",
        "options": {"A": "甲", "B": f"乙{n}"},
        "answer_idx": "B",
        "answer": f"乙{n}",
    },
    lambda n: {"question": f"问{n}", "A": "甲", "B": f"乙{n}", "answer": "B"},
    lambda n: {"text": f"文章{n}", "label": n},
    lambda n: {"text": f"文章{n}", "meta": 5},
    lambda n: {"system_prompt": "s", "question": f"问{n}", "response": f"答{n}"},
    lambda n: {"instruction": f"问{n}", "input": "", "output": f"答{n}", "history": [["早", "好"]]},
]
GOOD_LINES = st.sampled_from(GOOD).map(as_line)
ODD_LINES = st.sampled_from(
    [
        b'{"instruction": "twice", "output": "a", "output": "b"}',
        b'{"instruction": "half a pair \\ud83d", "output": "answer"}',
        b'{"instruction": "nul \\u0000", "output": "answer"}',
        b'{"instruction": "raw nul \0", "output": "answer"}',
        b'{"instruction": "not a number", "output": NaN}',
        b'{"instruction": "digits", "output": ' + b"9" * 5_000 + b"}",
        b'{"instruction": "deep", "output": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"a":' * 10_000,
        b"[" * 10_000,
        "{'instruction': '単引号', 'output': 'Python'}".encode(),
        '{"instruction": "国标", "output": "编码"}'.encode("gb18030"),
        b"\xef\xbb\xbf" + as_line(GOOD[0]),
        b"=cmd|' /C calc'!A0,answer",
        b'"never closed,answer',
        b'{"messages": [{"role": "user", "content": 5}]}',
    ]
)
LINES = (
    GOOD_LINES
    | ODD_LINES
    | VALUES.map(json.dumps).map(str.encode)
    | st.tuples(GOOD_LINES, st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]])
    | st.binary(max_size=20).map(lambda data: data.replace(b"\n", b""))
)
MIXTURES = st.lists(LINES, max_size=12).flatmap(
    lambda odd: st.permutations([*map(as_line, GOOD), *odd])
)


def prepare_twice(path: Path, out: Path) -> dict[str, Any] | None:
    """Return the summary, or None where the data is refused; check what always holds."""
    data = file_data(path)
    try:
        summary = prepared(data, out / "first")
    except UserError as error:
        with pytest.raises(UserError) as again:
            prepared(data, out / "second")
        assert str(again.value).replace("second", "first") == str(error)
        return None
    assert prepared(data, out / "second") == summary
    for name in FILES:
        first, second = (out / run / f"{name}.parquet" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    return summary


def check_rows(summary: dict[str, Any], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Check that every row is in one file, set aside ones with a reason, and return them."""
    counts = summary["counts"]
    rows = {name: rows_of(folder, name) for name in FILES}
    for name in FILES:
        assert len(rows[name]) == counts[name]
    assert counts["read"] == sum(counts.values()) - counts["read"]
    assert sum(summary["rejected_by"].values()) == counts["rejected"]
    places = [(row["source"], row["line"]) for name in FILES for row in rows[name]]
    assert len(set(places)) == len(places)
    for row in rows["rejected"]:
        assert row["operator"]
        json.loads(row["value"])
        json.loads(row["threshold"])
        nothing_to_show = row["operator"] == "file" or "the list is not closed" in row["value"]
        assert row["original"] or nothing_to_show
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def fresh(folder: Path, name: str, content: bytes) -> Path:
    """Write the content into a folder of its own, since an example must not meet the last one."""
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    (place / name).write_bytes(content)
    return place / name


@given(MIXTURES)
@settings(on_any_machine, max_examples=60)
def test_every_line_is_accounted_for_once(folder: Path, lines: list[bytes]) -> None:
    path = fresh(folder, "rows.jsonl", b"\n".join(lines))
    summary = prepare_twice(path, path.parent)
    if summary is None:
        return
    rows = check_rows(summary, path.parent / "first")
    texts = dict(enumerate([lines[0].removeprefix(b"\xef\xbb\xbf"), *lines[1:]], start=1))
    numbers = [row["line"] for name in FILES for row in rows[name]]
    assert sorted(numbers) == [number for number, text in texts.items() if text.strip()]
    for row in rows["rejected"]:
        assert row["original"] == texts[row["line"]].strip().decode("utf-8", "backslashreplace")


@given(st.data())
@settings(on_any_machine, max_examples=60)
def test_wrong_types_in_any_layout_lose_no_row(folder: Path, data: st.DataObject) -> None:
    make = data.draw(st.sampled_from(LAYOUTS))
    changes = st.tuples(st.sampled_from(sorted(make(0))), VALUES)
    odd = data.draw(st.lists(changes, max_size=8))
    rows = [make(number) for number in range(12)]
    rows += [{**make(number), key: value} for number, (key, value) in enumerate(odd, start=12)]
    path = fresh(folder, "rows.jsonl", b"\n".join(json.dumps(row).encode() for row in rows))
    summary = prepare_twice(path, path.parent)
    if summary is not None:
        check_rows(summary, path.parent / "first")
        assert summary["counts"]["read"] == len(rows)


@given(MIXTURES, st.sampled_from([b",", b",\n", b"\n", b" "]), st.sampled_from([b"]", b"", b"]]"]))
@settings(on_any_machine, max_examples=40)
def test_a_list_of_anything_loses_no_row(
    folder: Path, lines: list[bytes], between: bytes, end: bytes
) -> None:
    path = fresh(folder, "rows.json", b"[" + between.join(lines) + end)
    summary = prepare_twice(path, path.parent)
    if summary is not None:
        check_rows(summary, path.parent / "first")


@given(MIXTURES, st.sampled_from([b"rows.csv", b"rows.tsv"]))
@settings(on_any_machine, max_examples=40)
def test_a_table_of_anything_loses_no_row(folder: Path, lines: list[bytes], name: bytes) -> None:
    good = [f"问题{number},回答{number}".encode() for number in range(12)]
    content = b"\n".join([b"instruction,output", *good, *lines])
    if name.endswith(b"tsv"):
        content = content.replace(b",", b"\t")
    path = fresh(folder, name.decode(), content)
    summary = prepare_twice(path, path.parent)
    if summary is not None:
        check_rows(summary, path.parent / "first")


@given(
    st.binary(max_size=300), st.sampled_from(["json", "jsonl", "csv", "tsv", "parquet", "arrow"])
)
@settings(on_any_machine, max_examples=60)
def test_any_bytes_are_refused_or_read(folder: Path, content: bytes, suffix: str) -> None:
    path = fresh(folder, f"rows.{suffix}", content)
    summary = prepare_twice(path, path.parent)
    if summary is not None:
        check_rows(summary, path.parent / "first")


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["jsonl.gz", "json.zst", "csv.gz"]))
@settings(on_any_machine, max_examples=30)
def test_any_bytes_under_a_packers_name_are_refused_or_read(
    folder: Path, content: bytes, suffix: str
) -> None:
    path = fresh(folder, f"rows.{suffix}", content)
    assert prepare_twice(path, path.parent) is None


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
@pytest.mark.parametrize(
    ("row", "operator"),
    [
        (b'{"instruction": "cut o', "json"),
        (b'{"instruction": "twice", "output": "a", "output": "b"}', "json"),
        (b'{"instruction": "q", "output": "a", "x": {"a": 1, "\\u0061": 2}}', "json"),
        (b'{"instruction": "nul", "output": "\0"}', "json"),
        (b'{"instruction": "digits", "output": ' + b"9" * 5_000 + b"}", "json"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "json"),
        (b'{"instruction": "no number", "output": NaN}', "schema"),
        (b'{"instruction": ["list"], "output": "a"}', "schema"),
        (b'{"instruction": "half \\ud83d", "output": "a"}', "unicode_text"),
        (b'{"instruction": "\xff", "output": "a"}', "encoding"),
        (b'{"instruction": "nothing but nul", "output": "\\u0000"}', "empty_or_echoed"),
    ],
)
def test_bad_row_in_a_good_file_is_set_aside_alone(
    tmp_path: Path, suffix: str, row: bytes, operator: str
) -> None:
    rows = [*map(as_line, GOOD[:6]), row, *map(as_line, GOOD[6:])]
    content = b"\n".join(rows) if suffix == "jsonl" else b"[" + b",\n".join(rows) + b"]"
    (tmp_path / f"rows.{suffix}").write_bytes(content)
    summary = prepared(file_data(tmp_path / f"rows.{suffix}"), tmp_path / "out")
    assert summary["rejected_by"] == {operator: 1}
    (rejected,) = check_rows(summary, tmp_path / "out")["rejected"]
    assert (rejected["line"], rejected["operator"]) == (7, operator)
    assert rejected["original"] == row.decode("utf-8", "backslashreplace")


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "tsv"])
def test_file_in_gb18030_is_an_error_that_names_the_byte(tmp_path: Path, suffix: str) -> None:
    path = write_rows(tmp_path / f"rows.{suffix}", GOOD)
    path.write_bytes(path.read_text(encoding="utf-8").encode("gb18030"))
    with pytest.raises(UserError, match=r"not UTF-8: .*byte 0xb5 at offset .*iconv -f GB18030"):
        prepared(file_data(path), tmp_path / "out")


def test_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    data = file_data(write_rows(tmp_path / "rows.jsonl", GOOD))
    content = fingerprint(data)
    write_rows(tmp_path / "rows.jsonl", GOOD[1:])
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"data\.path=.*rows\.jsonl changed while it was read"):
        prepare(data, content=content, out=tmp_path / "out")


def test_row_of_50_mb_is_one_row(tmp_path: Path) -> None:
    long = {"instruction": "long", "output": "长" * 17_000_000}
    path = write_rows(tmp_path / "rows.jsonl", [*GOOD, long])
    summary = prepared(file_data(path), tmp_path / "out")
    assert summary["rejected_by"] == {"length": 1}
    (rejected,) = check_rows(summary, tmp_path / "out")["rejected"]
    assert json.loads(rejected["original"]) == long


def test_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(600):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"data\.path=.*rows\.jsonl\.gz grows more than 200-fold"):
        prepared(file_data(path), tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * 2**20


def test_damaged_file_beside_a_good_one_is_a_row_and_a_warning(tmp_path: Path) -> None:
    write_rows(tmp_path / "数据" / "好.jsonl", GOOD[:6])
    broken = write_rows(tmp_path / "数据" / "坏.jsonl.gz", GOOD[6:])
    broken.write_bytes(broken.read_bytes()[:-4])
    summary = prepared(file_data(tmp_path / "数据"), tmp_path / "out")
    (rejected,) = check_rows(summary, tmp_path / "out")["rejected"]
    assert (rejected["source"], rejected["operator"]) == ("数据/坏.jsonl.gz", "file")
    assert summary["counts"]["read"] == 13
    assert "A packed file is damaged" in summary["warnings"][0]
