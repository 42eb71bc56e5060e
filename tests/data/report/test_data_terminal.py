"""The terminal and Prefect show what became of the rows, and nothing that did not happen."""

from pathlib import Path
from typing import Any

import pytest

from loraflow.data.report.terminal import funnel_markdown, show_data
from loraflow.files import write_json
from tests.data.sources import file_data, prepared, write_rows

FUNNEL = [
    {"operator": "json", "rows_in": 12345, "edited": 0, "rejected": 0},
    {"operator": "whitespace", "rows_in": 12345, "edited": 17, "rejected": 0},
    {"operator": "near_duplicates", "rows_in": 12345, "edited": 0, "rejected": 2345},
]
COUNTS = {"read": 12345, "train": 9900, "held_out": 100, "unused": 0, "rejected": 2345}


def write_result(folder: Path, **changes: Any) -> Path:
    result = {"funnel": FUNNEL, "counts": COUNTS, "warnings": [], **changes}
    write_json(folder / "result.json", result)
    return folder


def test_counts_are_shown_as_a_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_data(write_result(tmp_path), {})
    shown = capsys.readouterr().out
    assert (
        "12,345 rows read = 9,900 to train on + 100 held out + 0 unused + 2,345 set aside" in shown
    )


def test_operators_that_did_something_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_data(write_result(tmp_path), {})
    shown = capsys.readouterr().out
    assert "whitespace" in shown
    assert "near_duplicates" in shown
    assert "json" not in shown


def test_bars_are_as_long_as_the_share_of_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_data(write_result(tmp_path), {})
    lines = capsys.readouterr().out.splitlines()
    (whole,) = (line for line in lines if "whitespace" in line)
    (part,) = (line for line in lines if "near_duplicates" in line)
    assert whole.count("█") == part.count("█") > 10  # what is left, and what was set aside


def test_warnings_and_places_are_shown_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "[1 row] is not UTF-8: " + "long " * 40
    where = f"/tmp/[数据]/{'x' * 200}/report.html"
    show_data(write_result(tmp_path, warnings=[warning]), {"report": where})
    shown = capsys.readouterr().out
    assert warning.strip() in shown
    assert where in shown


def test_no_rows_are_shown_without_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_result(tmp_path, counts=dict.fromkeys(COUNTS, 0), funnel=[])
    show_data(folder, {})
    assert "0 rows read" in capsys.readouterr().out
    assert "0 rows read" in funnel_markdown(folder)


def test_markdown_is_a_table_of_the_active_operators(tmp_path: Path) -> None:
    lines = funnel_markdown(write_result(tmp_path)).splitlines()
    assert lines[0].startswith("12,345 rows read = ")
    assert lines[2:] == [
        "| operator | rows in | edited | set aside |",
        "|---|---:|---:|---:|",
        "| whitespace | 12,345 | 17 | 0 |",
        "| near_duplicates | 12,345 | 0 | 2,345 |",
    ]


def test_result_of_the_stage_can_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"instruction": f"q{number}", "output": "a "} for number in range(9)]
    data = file_data(write_rows(tmp_path / "rows.jsonl", rows))
    summary = prepared(data, tmp_path / "out")
    write_json(tmp_path / "out" / "result.json", summary)
    show_data(tmp_path / "out", {"report": "report.html"})
    assert "9 rows read = 8 to train on + 1 held out" in capsys.readouterr().out
