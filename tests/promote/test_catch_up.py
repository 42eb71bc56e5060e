"""What a night finds of the one before it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.night import run
from flows.night.tonight import Tonight
from flows.night_command import read_night
from loraflow.promote.line import Line
from loraflow.promote.record import NightRecord
from loraflow.promote.registry.version import Version


def test_promotion_that_was_killed_before_its_record_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[NightRecord] = []
    monkeypatch.setattr(run, "sync", lambda root: {})
    monkeypatch.setattr(run, "tell", lambda request, record, page: told.append(record))
    line = Line(tmp_path / "nights", "tickets")
    killed = line.begin("schedule")
    killed.run_id, killed.decision = "r2", {"promote": True, "sentence": "Promote."}
    line.note(killed)
    line.bury()

    tonight = Tonight(read_night([f"store={tmp_path}"]), line, line.begin("ann"))
    champion = Version(2, "r2", "models:/m2", {}, "")
    found = SimpleNamespace(repair=lambda: None, champion=lambda: champion)
    vars(tonight)["registry"] = found
    for _ in range(2):  # a night is tried again
        assert run._catch_up(tonight) == champion
    assert [(one.outcome, one.reason, one.version) for one in told] == [("promoted", "Promote.", 2)]
