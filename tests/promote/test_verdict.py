"""What becomes of a challenger whose weights were champion before."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.night import verdict
from flows.night.tonight import Tonight
from flows.night_command import read_night
from loraflow.model.source import BaseModel
from loraflow.promote.line import Line
from loraflow.promote.registry.registry import Registry
from tests.promote.registered import Night, register, tracking_in, train_night


@pytest.fixture
def nights(tiny_base: BaseModel, tmp_path: Path) -> list[Night]:
    tracking = tracking_in(tmp_path)
    return [train_night(tracking, tiny_base, tmp_path / str(seed), seed) for seed in (1, 2)]


@pytest.fixture
def tonight(nights: list[Night], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tonight:
    """A night behind two promotions, in which nothing is decided."""
    tracking = tracking_in(tmp_path)
    registry = Registry(tracking, "tickets")
    for night in nights:
        registry.promote(register(registry, night), by="schedule", reason="better")
    monkeypatch.setattr(verdict, "step", lambda name, *_: pytest.fail(name))
    line = Line(tmp_path / "nights", "tickets")
    words = [f"tracking.uri={tracking.uri}", f"tracking.experiment={tracking.experiment}"]
    return Tonight(read_night([*words, "night.name=tickets"]), line, line.begin("schedule"))


def challenger(night: Night) -> Any:
    return SimpleNamespace(weights=night.adapter)


def test_weights_that_a_person_rolled_back_are_kept_from_promotion_by_whatever_run(
    tonight: Tonight, nights: list[Night]
) -> None:
    tonight.registry.rollback(by="ann", reason="worse on refunds")
    outcome, reason = verdict.settle(tonight, challenger(nights[1]))
    assert outcome == "kept"
    assert "those of version 2, which was rolled back (" in reason
    assert "by ann: worse on refunds); only a person brings it back: make rollback" in reason
    assert tonight.diary.version == 2


def test_weights_that_a_promotion_replaced_do_not_come_back_by_a_night(
    tonight: Tonight, nights: list[Night]
) -> None:
    outcome, reason = verdict.settle(tonight, challenger(nights[0]))
    assert outcome == "kept"
    assert "those of version 1, which was replaced (" in reason
