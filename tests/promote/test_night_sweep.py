"""Nights that go by what a sweep recommends, or sweep first."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from flows.night import ranks
from flows.night.run import run
from flows.night.tonight import Tonight
from flows.night_command import NightRequest, read_night
from loraflow.config.nightly import Weekday
from loraflow.errors import UserError
from loraflow.promote.gate.gate_set import GateSet
from loraflow.promote.line import Line
from loraflow.promote.record import write_record
from loraflow.tracking import recommended
from tests.promote.test_night_record import NIGHT

EVERY_DAY = f"night.sweep_on=[{','.join(get_args(Weekday))}]"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What sweeps have recommended; nothing yet."""
    sets: dict[str, Any] = {}
    monkeypatch.setattr(recommended, "fetch_recommended", lambda config: dict(sets))
    return sets


def night_of(folder: Path, *words: str) -> Tonight:
    line = Line(folder, "tickets")
    return Tonight(read_night([*words, f"store={folder}"]), line, line.begin("ann"))


def test_before_the_first_sweep_a_night_goes_by_the_config(
    tmp_path: Path, found: dict[str, Any]
) -> None:
    night = night_of(tmp_path, EVERY_DAY)
    assert ranks.as_recommended(night.request).config.adapter.r == read_night([]).config.adapter.r
    found["adapter.r"] = 4
    assert ranks.as_recommended(night.request).config.adapter.r == 4


def test_a_night_that_is_to_go_by_a_sweep_says_that_there_is_none(
    tmp_path: Path, found: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=r"night\.settings=sweep: .* make sweep first"):
        ranks.as_recommended(night_of(tmp_path, "night.settings=sweep").request)


def test_no_new_data_is_not_swept_over(
    tmp_path: Path, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_of(tmp_path, EVERY_DAY)
    monkeypatch.setattr("flows.night.run.step", lambda name, work, tonight: "no new data")
    monkeypatch.setattr("flows.night.run._catch_up", lambda tonight: None)
    monkeypatch.setattr(ranks, "sweep_around", lambda *_: pytest.fail("swept"))
    assert run(night) == ("skipped", "no new data")


def test_what_a_sweep_recommends_is_what_the_night_is_known_by(
    tmp_path: Path, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_of(tmp_path, EVERY_DAY)
    monkeypatch.setattr(ranks, "sweep_around", lambda *_: found.update({"adapter.r": 4}))
    ranks.sweep_if_due(night, GateSet(tmp_path, "0", 1, {}))
    assert night.request.config.adapter.r == 4
    assert night.diary.data["settings"] == read_night(["adapter.r=4"]).settings.digest


def test_a_night_that_is_tried_again_sweeps_around_the_same_r(
    tmp_path: Path, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    around: list[int] = []

    def sweep(request: NightRequest, gate: GateSet, r: int) -> None:
        around.append(r)
        found["adapter.r"] = r // 2

    monkeypatch.setattr(ranks, "sweep_around", sweep)
    last_week = replace(NIGHT, data={"swept": {"day": "2026-01-04", "r": 64}})
    write_record(Line(tmp_path, "tickets").records, last_week)
    night, gate = night_of(tmp_path, EVERY_DAY), GateSet(tmp_path, "0", 1, {})
    for _ in range(2):
        ranks.sweep_if_due(night, gate)
        assert night.request.config.adapter.r == 4
    assert night.line.bury() is not None  # killed, and started again on the same day
    again = night_of(tmp_path, EVERY_DAY)
    again.request = ranks.as_recommended(again.request)
    ranks.sweep_if_due(again, gate)
    assert around == [8, 8, 8]
