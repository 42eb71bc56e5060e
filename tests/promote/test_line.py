"""The line of nights: ids that only grow, and what a kill leaves is told as it was."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loraflow.config.nightly import Outcome
from loraflow.promote.line import Line
from loraflow.promote.record import NightRecord, write_record
from tests.promote.test_night_record import NIGHT

LATER = datetime.now(UTC) + timedelta(days=1)  # as before a clock was set back


def test_id_is_later_than_all_records_and_the_night_under_way(tmp_path: Path) -> None:
    line = Line(tmp_path, "tickets")
    line.end(replace(NIGHT, id=f"{LATER:%Y-%m-%dT%H-%M-%SZ}"))
    tonight = line.begin("schedule")
    assert tonight.id > line.nights()[-1].id
    assert line.next_id() > tonight.id  # of a rollback meanwhile
    line.end(tonight.close("skipped", "no new data"))
    assert line.next_id() > tonight.id


def test_night_that_was_killed_behind_its_promotion_stands_as_promoted(tmp_path: Path) -> None:
    line = Line(tmp_path, "tickets")
    tonight = line.begin("schedule")
    tonight.run_id, tonight.decision = "r2", {"promote": True, "sentence": "Promote."}
    line.note(tonight)
    line.bury()  # the next one finds what a kill left
    assert line.acknowledge(1, "r1") is None
    assert line.nights()[-1].outcome == "failed"
    told = line.acknowledge(2, "r2")
    (night,) = line.nights()
    assert night == told
    assert (night.outcome, night.reason, night.champion) == ("promoted", "Promote.", 2)


def test_night_that_kept_the_champion_is_not_taken_for_its_promotion(tmp_path: Path) -> None:
    line = Line(tmp_path, "tickets")
    line.end(replace(NIGHT, outcome="failed", run_id="r1", decision={"promote": False}))
    line.acknowledge(4, "r1")
    assert line.nights()[-1].outcome == "failed"


def rolled_back(line: Line, to: int) -> NightRecord:
    """A person's word while a night is under way."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    night = replace(NIGHT, id=line.next_id(), started=at, ended=at, decision=None)
    record = replace(night, outcome="rolled_back", version=to, champion=to)
    write_record(line.records, record)
    return record


def test_night_that_promotes_behind_a_rollback_comes_last(tmp_path: Path) -> None:
    line = Line(tmp_path, "tickets")
    tonight = line.begin("schedule")
    back = rolled_back(line, to=1)
    tonight.champion = 3
    night = line.end(replace(tonight.close("promoted", "Promote."), ended=f"{LATER:%FT%T}+00:00"))
    assert (night.champion, night.id < back.id) == (3, True)
    assert line.nights() == [back, night]
    assert line.begin("schedule").champion == 3


@pytest.mark.parametrize("outcome", ["kept", "stopped", "failed"])
def test_night_that_promotes_nothing_knows_of_a_rollback_meanwhile(
    tmp_path: Path, outcome: Outcome
) -> None:
    line = Line(tmp_path, "tickets")
    tonight = line.begin("schedule")
    tonight.champion = 2
    rolled_back(line, to=1)
    assert line.end(tonight.close(outcome, "")).champion == 1
    assert line.begin("schedule").champion == 1


def test_clock_that_was_set_back_does_not_change_the_order(tmp_path: Path) -> None:
    line = Line(tmp_path, "tickets")
    ahead = f"{LATER:%FT%T}+00:00"
    first = line.end(replace(NIGHT, id=line.next_id(), started=ahead, ended=ahead))
    second = line.end(line.begin("schedule").close("skipped", "no new data"))
    assert second.ended < first.ended
    assert line.nights() == [first, second]
