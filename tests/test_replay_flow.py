"""A run is run again from MLflow alone, and what differs is named."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.replay import main
from tests.test_flows import Project, tiny_project

ROWS = 90
QUICK = ["judge=none", "evaluate.probes=[]", "evaluate.max_new_tokens=4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_text("".join(row(number) for number in range(ROWS)))
    return path


@pytest.fixture(scope="module")
def project(tiny_folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    words = [*QUICK, "data=file", f"data.path={data}"]
    return tiny_project(tiny_folder, tmp_path_factory.mktemp("project"), *words)


@pytest.fixture(scope="module")
def run(project: Project) -> Any:
    done = project.run("data.split.held_out_rows=8")
    assert done.returncode == 0, done.stderr
    (run,) = project.mlflow_runs()
    return run


def row(number: int) -> str:
    words = {"instruction": f"what is number {number}", "output": f"one more than {number - 1}"}
    return json.dumps(words) + "\n"


def replay(project: Project, run_id: str) -> "subprocess.CompletedProcess[str]":
    """Replay with the machine's places alone, as a user would."""
    places = ("store=", "tracking.", "model.cache=")
    words = [word for word in project.overrides if word.startswith(places)]
    return Project(words, project.folder).run_flow("replay", f"run={run_id}")


def said(done: "subprocess.CompletedProcess[str]") -> str:
    """What stands on the terminal, whatever its width."""
    return " ".join(done.stdout.split())


def test_run_again_is_the_same_to_the_bit(project: Project, run: Any) -> None:
    done = replay(project, run.info.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reused" not in done.stderr
    assert "Equal: all 14 files of 6 stages are the same to the bit" in said(done)
    assert not list((project.folder / "store" / "replay").iterdir())
    ((artifact,),) = project.prefect("select data from artifact where key = 'replay-result'")
    assert "| train | 4 | equal |" in artifact


@pytest.fixture
def tampered(run: Any) -> Iterator[None]:
    """The recorded digest of the adapter is that of another."""
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    path = artifacts / "stages" / "train" / "result.json"
    before = path.read_text()
    result = json.loads(before)
    result["digests"]["adapter/adapter_model.safetensors"] = "0" * 64
    path.write_text(json.dumps(result))
    yield
    path.write_text(before)


def test_output_with_another_digest_is_named(project: Project, run: Any, tampered: None) -> None:
    done = replay(project, run.info.run_id)
    assert done.returncode == 1, done.stderr
    assert "It differs first in train: adapter/adapter_model.safetensors" in said(done)
    assert "largest difference 0" in said(done)  # the adapter in MLflow is the right one
    kept = project.folder / "store" / "replay" / run.info.run_id / "store" / "train"
    assert list(kept.rglob("adapter_model.safetensors"))


def test_changed_data_is_named_and_nothing_is_run(project: Project, run: Any, data: Path) -> None:
    before = data.read_text()
    data.write_text(before + row(ROWS))
    done = replay(project, run.info.run_id)
    data.write_text(before)
    assert done.returncode == 1, done.stderr
    assert "Not run again: prepare would do something else" in said(done)
    assert "the data's content has changed" in said(done)
    assert "started" not in done.stderr


@pytest.mark.parametrize(
    ("run_id", "message"), [("nosuch", "run=nosuch is no run"), ("", "run= names no run")]
)
def test_what_is_no_run_is_named(
    run_id: str,
    message: str,
    tiny_overrides: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["replay", f"run={run_id}", *tiny_overrides])
    with pytest.raises(SystemExit, match=r"^2$"):
        main()
    assert message in capsys.readouterr().err
