"""What is written is read back as it was, and a digest follows names and content."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraflow.files import hash_files, read_json, read_lines, write_json, write_lines

values = st.none() | st.booleans() | st.integers() | st.text()
rows = st.lists(st.dictionaries(st.text(), values | st.lists(values)))


@given(rows)
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_lines_are_read_as_written(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    assert write_lines(tmp_path / "rows.jsonl", rows) == len(rows)
    assert read_lines(tmp_path / "rows.jsonl") == rows


def test_json_is_readable_by_people_in_any_script(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"名": "甄嬛"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "名": "甄嬛"\n}\n'
    assert read_json(tmp_path / "a.json") == {"名": "甄嬛"}


@pytest.mark.parametrize("line_break", ["\u2028", "\u0085", "\r", "\n", "\r\n", "\x1c"])
def test_line_break_in_a_text_does_not_break_its_row(tmp_path: Path, line_break: str) -> None:
    row = {"text": f"above{line_break}below"}
    write_lines(tmp_path / "rows.jsonl", [row, row])
    assert read_lines(tmp_path / "rows.jsonl") == [row, row]


def test_digest_follows_content_and_name_but_not_the_folder(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    for name, text in {"a": "1", "b": "1", "copy/a": "1"}.items():
        (tmp_path / name).write_text(text)
    digest = hash_files([tmp_path / "a"])
    assert digest == hash_files([tmp_path / "copy" / "a"])
    assert digest != hash_files([tmp_path / "b"])
    (tmp_path / "a").write_text("2")
    assert digest != hash_files([tmp_path / "a"])
