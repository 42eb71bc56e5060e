"""Faults of whole nights: what is killed, moved or doubled, with real processes."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loraflow.promote.record import write_record
from loraflow.promote.registry.registry import Registry
from tests.nights_project import Nights, good, tracking_of
from tests.nights_watched import Watched, champion_in, dashboard, versions

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def nights(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """A line that one test after another adds nights to."""
    nights = Nights(tiny_folder, tmp_path_factory.mktemp("faults"))
    with dashboard(nights):
        yield nights


def test_of_two_nights_at_once_one_trains_and_the_other_finds_nothing_new(nights: Nights) -> None:
    nights.write("day1.jsonl", good(120, seed=1))
    both = [Watched(nights), Watched(nights)]
    for night in both:
        assert night.end() == 0, night.said[-3000:]
    assert [one.outcome for one in nights.line.nights()] == ["promoted", "skipped"]
    assert [one.champion for one in nights.line.nights()] == [1, 1]
    require_one_more(nights, versions_before=0)


def test_clock_that_was_set_back_confuses_no_night(nights: Nights) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H-%M-%SZ")
    write_record(nights.line.records, replace(nights.last(), id=tomorrow))
    drawn = nights.line.history.stat().st_mtime_ns
    ended(nights, "skipped")
    assert nights.last().id > tomorrow
    assert nights.line.history.stat().st_mtime_ns > drawn


def test_night_that_is_killed_anywhere_is_ended_by_the_next(nights: Nights) -> None:
    nights.write("day2.jsonl", good(500, seed=2))
    before = len(nights.line.nights())

    night = Watched(nights)
    night.until_said("evaluate tuned started", times=2)  # the champion, behind the challenger
    night.kill()
    night = Watched(nights)
    decisions = nights.line.folder / "decisions"
    known = set(decisions.glob("*/decision.json"))
    night.until(lambda: set(decisions.glob("*/decision.json")) - known)
    night.kill()
    assert versions(database(nights)) == [1]
    night = Watched(nights)
    night.until(lambda: len(versions(database(nights))) == 2)
    night.kill()
    assert champion_in(database(nights)) == 1
    night = Watched(nights)
    night.until(lambda: champion_in(database(nights)) == 2)
    night.kill()

    ended(nights, "skipped")
    *killed, promoted, _ = nights.line.nights()[before:]
    assert [one.outcome for one in killed] == ["failed"] * 3
    assert (promoted.outcome, promoted.version, promoted.champion) == ("promoted", 2, 2)
    assert "Promote over version 1" in promoted.reason
    require_one_more(nights, versions_before=1)


def test_champion_that_a_person_moved_is_measured_before_it_is_replaced(nights: Nights) -> None:
    nights.write("day3.jsonl", good(1500, seed=3))
    night = Watched(nights, "schedule.retries=1", "schedule.retry_minutes=0.01")
    night.until_said("evaluate tuned started", times=2)
    with night.held():
        done = nights.project.run_flow("rollback", "reason=worse on refunds")
        assert done.returncode == 0, done.stderr
        assert nights.champion == 1
    assert night.end() == 0, night.said[-3000:]
    assert "was moved while the challenger was measured" in " ".join(night.said.split())
    last = nights.last()
    assert (last.outcome, last.champion) == ("promoted", 3)
    assert last.decision is not None
    assert last.decision["reference"] == "version 1"
    # both keep their records, and the night, which began first, comes last
    assert nights.line.nights()[-2].reason == "worse on refunds"
    ended(nights, "skipped")
    require_one_more(nights, versions_before=2)


def test_night_that_would_train_the_champion_again_leaves_it_as_it_is(nights: Nights) -> None:
    registry = Registry(tracking_of(nights.project.folder), "tiny")
    before = registry.champion()
    ended(nights, "kept", "gate.margin=0.5")
    assert (
        f"the same weights came out as those of version {nights.champion}" in nights.last().reason
    )
    assert registry.champion() == before  # with the decision that made it champion


def ended(nights: Nights, outcome: str, *words: str, status: int = 0) -> None:
    """Run a night, and see how it ended."""
    night = Watched(nights, *words)
    assert night.end() == status, night.said[-3000:]
    assert nights.last().outcome == outcome, nights.last()
    assert nights.last().champion == nights.champion


def database(nights: Nights) -> Path:
    return nights.project.folder / "mlruns" / "mlflow.db"


def require_one_more(nights: Nights, versions_before: int) -> None:
    """There is one more version; it is champion, whole, and PEFT can load it."""
    number = versions_before + 1
    assert versions(database(nights)) == list(range(1, number + 1))
    assert nights.champion == number
    require_loadable(nights)
    assert not (nights.line.folder / "tonight.json").exists()
    runs = [run for run in nights.project.mlflow_runs() if run.info.status == "FINISHED"]
    assert len(runs) == number
    ids = [path.stem for path in nights.line.records.glob("*.json")]
    assert sorted(ids) == sorted(one.id for one in nights.line.nights())


def require_loadable(nights: Nights) -> None:
    from peft import PeftModel  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    registry = Registry(tracking_of(nights.project.folder), "tiny")
    champion = registry.champion()
    assert champion is not None
    out = nights.project.folder / f"fetched{os.urandom(4).hex()}"
    registry.fetch(champion, out)
    place = next(word for word in nights.project.overrides if word.startswith("model.location="))
    base = AutoModelForCausalLM.from_pretrained(place.partition("=")[2])
    PeftModel.from_pretrained(base, out)
