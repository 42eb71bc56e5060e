"""`make promote`: a person makes the challenger champion, with who and why."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flows import promote as command
from loraflow.model.source import BaseModel
from loraflow.promote.line import Line
from loraflow.promote.new_data import why_nothing_new
from loraflow.promote.registry.registry import Registry
from loraflow.promote.tidy.keep import keep_of
from tests.promote.registered import places, register, tracking_in, train_night
from tests.promote.test_night_record import NIGHT


@pytest.fixture
def registry(tiny_base: BaseModel, tmp_path: Path) -> Registry:
    """A champion, version 1, and a challenger, version 2."""
    tracking = tracking_in(tmp_path)
    registry = Registry(tracking, "客服")
    versions = [
        register(registry, train_night(tracking, tiny_base, tmp_path / str(seed), seed))
        for seed in (1, 2)
    ]
    registry.promote(versions[0], by="schedule", reason="better")
    return registry


def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    *words: str,
) -> tuple[int, str]:
    tracking = tracking_in(tmp_path)
    given = [
        f"tracking.uri={tracking.uri}",
        f"tracking.experiment={tracking.experiment}",
        f"night.folder={tmp_path / 'nights'}",
        "night.name=客服",
        *words,
    ]
    monkeypatch.setattr(sys, "argv", ["promote", *given])
    status = 0
    try:
        command.main()
    except SystemExit as error:
        status = int(error.code or 0)
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_the_challenger_becomes_champion_and_leaves_a_record(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert places(registry) == (1, None, 2)
    words = ["reason=用户更喜欢：make ab", "by=ann"]
    status, shown = run(monkeypatch, capsys, tmp_path, *words)
    assert (status, places(registry)) == (0, (2, 1, None))
    assert "version 2 is the champion of 客服, in place of version 1" in shown
    line = Line(tmp_path / "nights", "客服")
    (record,) = line.nights()
    assert (record.outcome, record.by, record.champion) == ("promoted", "ann", 2)
    assert "用户更喜欢" in line.history.read_text(encoding="utf-8")
    assert registry.version(2).history[-1].endswith("by ann: 用户更喜欢：make ab")


def test_an_older_version_that_was_never_champion_is_named_by_its_number(
    registry: Registry,
    tiny_base: BaseModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    newest = register(registry, train_night(tracking_in(tmp_path), tiny_base, tmp_path / "3", 3))
    registry.promote(newest, by="schedule", reason="better")
    assert (places(registry), registry.version(2).state) == ((3, 1, None), "registered")
    status, shown = run(monkeypatch, capsys, tmp_path, "reason=better")
    assert status == 2 and "has no challenger: no version was registered since" in shown
    assert "name one that never was with version=N" in shown
    status, shown = run(monkeypatch, capsys, tmp_path, "version=2", "reason=better")
    assert (status, places(registry)) == (0, (2, 3, None))


def test_a_version_that_was_champion_is_only_rolled_back_to(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(monkeypatch, capsys, tmp_path, "version=2", "reason=better")
    status, shown = run(monkeypatch, capsys, tmp_path, "version=1", "reason=better")
    assert status == 2 and "version=1 has been champion" in shown and "make rollback" in shown
    status, shown = run(monkeypatch, capsys, tmp_path, "version=2")
    assert status == 2 and "make promote ARGS=" in shown


def test_the_next_night_goes_by_the_last_that_trained(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line, data = Line(tmp_path / "nights", "客服"), {"fingerprint": "a", "settings": "s"}
    trained = replace(NIGHT, outcome="kept", data={**data, "prepared": "ab" * 32})
    line.end(trained)
    status, _ = run(monkeypatch, capsys, tmp_path, "reason=better")
    assert (status, line.nights()[-1].champion) == (0, 2)
    assert line.last_trained() == trained
    assert why_nothing_new("a", "s", line.nights()) is not None
    assert list(keep_of(tracking_in(tmp_path), tmp_path / "nights")) == ["ab" * 32]
