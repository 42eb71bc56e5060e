"""The line of nights: ids that only grow, and what a kill leaves is told as it was."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loraflow.promote.line import Line
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
    line.acknowledge(1, "r1")
    assert line.nights()[-1].outcome == "failed"
    line.acknowledge(2, "r2")
    (night,) = line.nights()
    assert (night.outcome, night.reason, night.champion) == ("promoted", "Promote.", 2)


def test_night_that_kept_the_champion_is_not_taken_for_its_promotion(tmp_path: Path) -> None:
    line = Line(tmp_path, "tickets")
    line.end(replace(NIGHT, outcome="failed", run_id="r1", decision={"promote": False}))
    line.acknowledge(4, "r1")
    assert line.nights()[-1].outcome == "failed"
