"""Records of nights: whole, sorted, and none hidden by a damaged one."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loraflow.promote.line import Line
from loraflow.promote.record import NightRecord, read_records, write_record

NIGHT = NightRecord(
    id="2026-11-26T02-00-00Z",
    outcome="promoted",
    reason="版本 4 比版本 3 好。",
    started="2026-11-26T02:00:00+00:00",
    ended="2026-11-26T02:41:00+00:00",
    data={"fingerprint": "ab12", "rows": 1200, "new_rows": 30},
    drift={"length of answers": 0.02},
    decision={"promote": True, "difference": {"mean": 0.04, "low": 0.01, "high": 0.07}},
    version=4,
    champion=4,
    run_id="r1",
    url="http://127.0.0.1:5000/#/experiments/1/runs/r1",
    by="schedule",
)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """In readable Chinese too."""
    path = write_record(tmp_path / "records", NIGHT)
    assert path.name == "2026-11-26T02-00-00Z.json"
    assert "版本 4" in path.read_text(encoding="utf-8")
    assert read_records(tmp_path / "records") == [NIGHT]


def test_records_are_sorted_by_id_and_replaced_by_it(tmp_path: Path) -> None:
    """Whatever the order of writing."""
    for day in (26, 24, 25, 24):
        write_record(tmp_path, replace(NIGHT, id=f"2026-11-{day}T02-00-00Z"))
    assert [record.id[8:10] for record in read_records(tmp_path)] == ["24", "25", "26"]


def test_no_folder_no_records(tmp_path: Path) -> None:
    """The first night has nothing to read."""
    assert read_records(tmp_path / "none") == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"id": "2026-11-25T02-00-00Z", "outc',
        b"\xff\xfe",
        b"[]",
        b'{"id": "2026-11-25T02-00-00Z"}',
    ],
)
def test_a_damaged_file_is_named_and_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """A torn write of another program, or an editor's slip."""
    write_record(tmp_path, NIGHT)
    damaged = tmp_path / "2026-11-25T02-00-00Z.json"
    damaged.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert read_records(tmp_path) == [NIGHT]
    assert str(damaged) in caplog.text


@pytest.mark.parametrize(
    ("change", "named"), [({"outcome": "lost"}, "outcome"), ({"started": "tonight"}, "tonight")]
)
def test_what_could_not_be_drawn_is_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Mapping[str, Any], named: str
) -> None:
    value = json.loads(write_record(tmp_path, NIGHT).read_text("utf-8"))
    (tmp_path / "odd.json").write_text(json.dumps({**value, **change}), "utf-8")
    assert read_records(tmp_path) == [NIGHT]
    assert named in caplog.text


def test_what_a_killed_write_leaves_is_no_record(tmp_path: Path) -> None:
    """Half a file has another name."""
    write_record(tmp_path, NIGHT)
    (tmp_path / ".2026-11-27T02-00-00Z.partial").write_text('{"id":', encoding="utf-8")
    assert read_records(tmp_path) == [NIGHT]


def test_a_reason_with_half_a_surrogate_is_written(tmp_path: Path) -> None:
    """Errors quote data; the record must be written all the same."""
    write_record(tmp_path, replace(NIGHT, reason="row '\ud83d' fails"))
    assert read_records(tmp_path)[0].reason == r"row '\ud83d' fails"


def test_a_night_that_was_killed_is_recorded_as_failed_once(tmp_path: Path) -> None:
    line = Line(tmp_path, "tickets")
    assert line.bury() is None
    killed = line.begin("ann")
    killed.data["rows"] = 90
    line.note(killed)
    found = line.bury()
    assert found is not None
    assert (found.id, found.outcome, found.data, found.by) == (
        killed.id,
        "failed",
        {"rows": 90},
        "ann",
    )
    assert line.nights() == [found]
    assert line.bury() is None
