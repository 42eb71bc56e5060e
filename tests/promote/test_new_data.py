"""New data are told by content, and files that are being written are waited for."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.config.nightly import Outcome
from loraflow.errors import PassingError
from loraflow.promote.new_data import settled_fingerprint, why_nothing_new
from loraflow.promote.record import NightRecord
from tests.conftest import composed

NIGHT = NightRecord(
    id="2026-11-25T02-00-00Z",
    outcome="kept",
    reason="",
    started="2026-11-25T02:00:00+00:00",
    ended="2026-11-25T03:00:00+00:00",
    data={"fingerprint": "a", "settings": "s"},
    drift={},
    decision=None,
    version=None,
    champion=None,
    run_id="",
    url="",
    by="schedule",
)


@pytest.mark.parametrize("outcome", ["promoted", "kept", "stopped"])
def test_the_same_data_and_settings_are_nothing_new(outcome: Outcome) -> None:
    nights = [replace(NIGHT, outcome=outcome)]
    found = why_nothing_new("a", "s", nights)
    assert found is not None
    assert NIGHT.id in found
    assert why_nothing_new("b", "s", nights) is None
    assert why_nothing_new("a", "other settings", nights) is None


def test_a_failed_night_is_tried_again_and_a_skipped_one_decides_nothing() -> None:
    failed = replace(NIGHT, outcome="failed")
    assert why_nothing_new("a", "s", [failed]) is None
    assert why_nothing_new("a", "s", [NIGHT, replace(NIGHT, outcome="skipped", data={})])
    assert why_nothing_new("a", "s", []) is None


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"instruction": "q", "output": "a"}\n')
    data = composed("data=file", f"data.path={path}").data
    waits = []

    def more(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) < 3:
            with path.open("a") as file:
                file.write('{"instruction": "p", "output": "b"}\n')

    found = settled_fingerprint(data, 60, sleep=more)
    assert waits == [60, 60, 60]
    os.utime(path, (0, 0))
    assert found == settled_fingerprint(data, 60, sleep=lambda _: pytest.fail("waits for nothing"))


def test_a_file_that_never_settles_is_named(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    path.write_text('{"instruction": "q", "output": "a"}\n')
    data = composed("data=file", f"data.path={path}").data

    def more(_: float) -> None:
        with path.open("a") as file:
            file.write("{}\n")

    with pytest.raises(PassingError, match=r"live\.jsonl is still being written"):
        settled_fingerprint(data, 1, sleep=more)


def test_a_clock_that_was_set_back_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "q", "output": "a"}\n')
    tomorrow = time.time() + 86_400
    os.utime(path, (tomorrow, tomorrow))
    waits: list[float] = []
    settled_fingerprint(composed("data=file", f"data.path={path}").data, 5, sleep=waits.append)
    assert waits == [5]
