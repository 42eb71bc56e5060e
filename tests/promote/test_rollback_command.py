"""`make rollback`: one command, with who and why, and a record among the nights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import rollback as command
from loraflow.config import TrackingConfig
from loraflow.model.source import BaseModel
from loraflow.promote.line import Line
from loraflow.promote.registry.registry import Registry
from tests.promote.registered import places, register, tracking_in, train_night
from tests.test_flows import ROOT

NAME = "客服"


@pytest.fixture
def tracking(tmp_path: Path) -> TrackingConfig:
    return tracking_in(tmp_path)


@pytest.fixture
def registry(tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path) -> Registry:
    """Three versions, each promoted after the other."""
    registry = Registry(tracking, NAME)
    for seed in range(3):
        version = register(registry, train_night(tracking, tiny_base, tmp_path / str(seed), seed))
        registry.promote(version, by="schedule", reason="better")
    return registry


@pytest.fixture
def words(tracking: TrackingConfig, tmp_path: Path) -> list[str]:
    return [
        f"tracking.uri={tracking.uri}",
        f"tracking.artifacts={tracking.artifacts}",
        f"tracking.experiment={tracking.experiment}",
        f"night.folder={tmp_path / 'nights'}",
        f"night.name={NAME}",
    ]


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["rollback", *words])
    status = 0
    try:
        command.main()
    except SystemExit as error:
        status = int(error.code or 0)
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_rollback_says_what_it_did_and_leaves_a_record(
    registry: Registry, words: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.rollback", "reason=worse on 客服 tickets", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LOGNAME": "ann"},
    )
    assert done.returncode == 0, done.stderr
    assert f"version 2 is the champion of {NAME}, in place of version 3" in done.stdout
    assert "by ann: worse on 客服 tickets" in done.stdout
    assert places(registry) == (2, 1, None)
    line = Line(tmp_path / "nights", NAME)
    (record,) = line.nights()
    assert (record.outcome, record.by, record.champion) == ("rolled_back", "ann", 2)
    assert record.reason == "worse on 客服 tickets"
    assert "客服" in line.history.read_text()


def test_rollback_goes_to_a_version_and_back_and_tells_the_hooks(
    registry: Registry,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = tmp_path / "told"
    hook = (
        "night.hooks={ann: {on: [rolled_back], webhook: null, format: json, timeout_seconds: 30, "
        f"command: [touch, {told}]}}}}"
    )
    status, shown = run(monkeypatch, capsys, "version=1", "by=bob", "reason=test", hook, *words)
    assert (status, places(registry)) == (0, (1, None, None)), shown
    assert told.is_file()
    status, shown = run(monkeypatch, capsys, "version=3", "by=bob", "reason=tested", *words)
    assert (status, places(registry)) == (0, (3, 2, None)), shown
    ids = [record.id for record in Line(tmp_path / "nights", NAME).nights()]
    assert len(ids) == 2 and ids == sorted(ids)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["reason=?"], "客服 has no champion"),
        (["version=2", "reason=?"], "客服 has no champion"),
        ([], "reason= is not given"),
        (["version=v3", "reason=?"], "version=v3 is no number"),
        (["reason=?", "night.nam=x"], "night.nam"),
        (["reason=?", "tracking.uri=http://127.0.0.1:9"], "tracking.uri=http://127.0.0.1:9"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    given: list[str],
    message: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    status, shown = run(monkeypatch, capsys, *words, *given)
    assert (status, "Traceback" in shown) == (2, False)
    assert message in shown
    assert not (tmp_path / "nights").exists()


def test_help_says_which_words_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run(monkeypatch, capsys, "--help")
    assert status == 0
    assert "version=3 reason=" in shown


def test_a_word_without_its_value_is_a_short_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run(monkeypatch, capsys, "reason")
    assert status == 2
    assert "reason= is not given" in shown
