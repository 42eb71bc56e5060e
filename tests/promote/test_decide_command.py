"""`make decide`: the decision once more from its record, or from the MLflow run."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from flows import decide as command
from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.promote.gate.decide import decide
from loraflow.promote.gate.saved import DECISION, EVIDENCE, FOLDER, Saved, differing, read_decision
from loraflow.promote.gate.saved import save_decision as save
from tests.promote.made_evidence import changed, gate, night
from tests.test_flows import ROOT


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A decision to promote, on disk."""
    evidence = night(100, gain=0.1)
    settings = gate(metric="rougeL", margin=0.01)
    folder = tmp_path / "记录" / FOLDER
    save(Saved(evidence, settings, decide(evidence, settings)), folder)
    return folder


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    """The command in this process: its exit status, and what it shows."""
    monkeypatch.setattr(sys, "argv", ["decide", *words])
    status = 0
    try:
        command.main()
    except SystemExit as error:
        status = int(error.code or 0)
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_what_was_saved_is_read_and_decides_the_same(record: Path) -> None:
    for place in (record, record.parent, record / EVIDENCE):
        saved = read_decision(place)
        assert decide(saved.evidence, saved.gate) == saved.decision


def test_the_command_says_that_nothing_differs(record: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.decide", f"record={record}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Equal to the record." in done.stdout
    assert "Promote over version 3" in done.stdout
    assert "passed" in done.stdout


def test_a_changed_margin_decides_otherwise_and_is_no_fault(
    record: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run(monkeypatch, capsys, f"record={record}", "gate.margin=0.5")
    assert status == 0
    assert "promote: recorded True, now False" in shown
    assert "margin: recorded 0.01, now 0.5" in shown


def test_another_gate_and_guards_can_be_tried(
    record: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gate=strict", "gate.margin=0", "gate.guards.refusals=null"]
    status, shown = run(monkeypatch, capsys, f"record={record}", *words)
    assert status == 0
    assert "guards.refusals.passed: recorded True, now nothing" in shown
    assert "margin: recorded 0.01, now 0" in shown


def test_evidence_that_was_changed_is_noticed(
    record: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = read_decision(record)
    worse = changed(saved.evidence, lambda row: row | {"rougeL": 0.1})
    save(replace(saved, evidence=worse), record)
    status, shown = run(monkeypatch, capsys, f"record={record}")
    assert status == 1
    assert "It differs from the recorded decision:" in shown
    assert "promote: recorded True, now False" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"neither record= nor run= says which decision"),
        (["record=nowhere"], r"record=nowhere holds no evidence.json"),
        (["gate.margins=1"], r"gate.margins is not a key .* \(did you mean gate.margin\?\)"),
        (["gate=strickt"], r"gate=strickt is unknown \(did you mean strict\?\)"),
        (["gate.margin=-1"], r"gate.margin=-1 must be at least 0"),
        (["gate.guards.leak=null"], r"gate.guards.leak=null: no comparison is valid without it"),
    ],
)
def test_faults_of_the_command_name_the_key(
    words: list[str],
    message: str,
    record: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [f"record={record}", *words] if words and words[0].startswith("gate") else words
    status, shown = run(monkeypatch, capsys, *given)
    assert status == 2
    assert re.search(message, shown), shown


def test_other_files_are_no_record(record: Path) -> None:
    with pytest.raises(UserError, match="holds no evidence of a decision"):
        read_decision(record / DECISION)
    (record / DECISION).unlink()
    with pytest.raises(UserError, match=r"decision\.json is not beside"):
        read_decision(record)


def test_rounding_of_other_processors_is_no_difference(record: Path) -> None:
    decision = read_decision(record).decision
    nearly = replace(decision, margin=decision.margin * (1 + 1e-12))
    assert differing(decision, nearly) == []
    assert differing(decision, replace(decision, items=99)) == ["items: recorded 100, now 99"]


def test_a_night_is_decided_again_from_its_mlflow_run(
    record: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("nights", (tmp_path / "artifacts").as_uri())
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    client.log_artifacts(runs[0], str(record), FOLDER)
    tracking = f"tracking.uri={uri}"
    status, shown = run(monkeypatch, capsys, f"run={runs[0]}", tracking)
    assert (status, "Equal to the record." in shown) == (0, True), shown
    for other in (runs[1], "0" * 32):
        status, shown = run(monkeypatch, capsys, f"run={other}", tracking)
        assert status == 2
        assert f"run={other} of {uri} has no decision/evidence.json" in shown


def test_a_record_is_json_that_any_program_reads(record: Path) -> None:
    values = read_json(record / DECISION)
    assert values["promote"] is True
    assert set(values["difference"]) == {"mean", "low", "high"}
    write_json(record / "copy.json", values)
    assert read_json(record / "copy.json") == values


def test_help_says_which_words_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run(monkeypatch, capsys, "--help")
    assert status == 0
    assert "run=MLFLOW_RUN_ID" in shown
