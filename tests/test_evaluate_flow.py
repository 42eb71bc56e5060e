"""Evaluation alone: of a run, an adapter, a model; broken off, and gone on with."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.evaluate import Subject, _take_subject
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.plan.experiment import make_plan
from tests.conftest import composed
from tests.test_flows import Project, tiny_project, wait_for

BENCH = ["evaluate=mt_bench", "evaluate.mt_bench.per_category=1", "evaluate.mt_bench.games=true"]


@pytest.fixture(scope="module")
def project(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return tiny_project(tiny_folder, tmp_path_factory.mktemp("project"), "judge.card_rows=6")


@pytest.fixture(scope="module")
def trained(project: Project) -> Any:
    done = project.run("evaluate.max_new_tokens=4", "judge=none", "evaluate.probes=[]")
    assert done.returncode == 0, done.stderr
    (run,) = project.mlflow_runs()
    return run


def evaluations(project: Project) -> list[Any]:
    return project.mlflow_runs("loraflow-evaluate")


def test_a_run_is_evaluated_from_mlflow_alone(project: Project, trained: Any) -> None:
    """With the store gone, the config and the adapter come from the run."""
    shutil.rmtree(project.folder / "store")
    prompts = project.folder / "prompts.txt"
    prompts.write_text("你是谁？\nWho?\n", encoding="utf-8")
    words = [*BENCH, "evaluate.mt_bench.max_new_tokens=4", f"evaluate.prompts={prompts}"]
    words += ["judge=local", "judge.card_rows=6"]
    done = project.run_flow("evaluate", f"run={trained.info.run_id}", *words)
    assert done.returncode == 0, done.stderr
    assert "train " not in done.stderr
    (run,) = evaluations(project)
    metrics = run.data.metrics
    assert run.data.tags["loraflow.evaluates"] == trained.info.run_id
    assert metrics["evaluate/loss"] == pytest.approx(
        trained.data.metrics["evaluate/loss"], abs=1e-6
    )
    assert any(name.startswith("evaluate/mt_bench_average") for name in metrics)
    artifacts = Path(run.info.artifact_uri.removeprefix("file://")) / "evaluate"
    page = (artifacts / "evaluation.html").read_text(encoding="utf-8")
    assert "你是谁？" in page
    (single,) = (artifacts / "bench_grade_tuned").rglob("*.jsonl")
    rows = [json.loads(line) for line in single.read_text().splitlines()]
    assert {row["model"] for row in rows} == {"tuned"}
    assert list((artifacts / "games").rglob("*.jsonl"))


def test_an_adapter_in_a_folder_is_evaluated_beside_the_base(
    project: Project, trained: Any
) -> None:
    (adapter,) = (project.folder / "mlruns").rglob("adapter_model.safetensors")
    done = project.run_flow("evaluate", f"adapter={adapter.parent}", "evaluate.max_new_tokens=4")
    assert done.returncode == 0, done.stderr
    losses = {run.data.metrics["evaluate/loss"] for run in evaluations(project)}
    assert max(losses) == pytest.approx(min(losses), abs=1e-6)


def test_a_model_alone_has_numbers_and_no_differences(project: Project, trained: Any) -> None:
    before = {run.info.run_id for run in evaluations(project)}
    done = project.run_flow("evaluate", "evaluate.max_new_tokens=4")
    assert done.returncode == 0, done.stderr
    (run,) = (run for run in evaluations(project) if run.info.run_id not in before)
    assert "evaluate/rougeL_low" in run.data.metrics
    assert not any(name.startswith("compare/") for name in run.data.metrics)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["adapter=nosuch"], "^adapter=nosuch holds no adapter_config.json"),
        (["run=a", "adapter=b"], "give one of them"),
    ],
)
def test_what_cannot_be_evaluated_is_named(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *words])
    with pytest.raises(UserError, match=message):
        _take_subject()


def test_an_adapter_as_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").touch()
    monkeypatch.setattr(sys, "argv", ["evaluate", f"adapter={tmp_path}"])
    with pytest.raises(UserError, match="other formats can hide code"):
        _take_subject()


def test_the_rest_of_the_command_line_is_left_to_hydra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", "run=abc", "adapter=dora", "judge=none"])
    assert _take_subject() == Subject(run="abc")
    assert sys.argv[1:] == ["adapter=dora", "judge=none"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate.prompts=nosuch.txt"], "^evaluate.prompts=nosuch.txt is no file"),
        (["evaluate=mt_bench", "evaluate.mt_bench.questions=[nosuch]"], "questions=nosuch"),
        (["judge=local", "judge.human_labels=nosuch"], "^judge.human_labels=nosuch is no file"),
    ],
)
def test_files_that_are_not_there_are_named_before_anything_runs(
    words: list[str], message: str, tiny_base: BaseModel
) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(composed(*words), tiny_base)


def test_a_run_that_is_none_is_named(project: Project, trained: Any) -> None:
    failed = project.run_flow("evaluate", "run=nosuch")
    assert failed.returncode == 2
    assert "run=nosuch is no run with a config" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_answers_written_before_a_kill_are_kept(project: Project, trained: Any) -> None:
    words = ["evaluate.max_new_tokens=400", "evaluate.batch_size=1", "judge=none"]
    process = project.start(*words, flow="evaluate")
    journal = wait_for(lambda: with_lines(project, 3), "some answers")
    process.kill()
    process.wait()
    kept = dict(map(json.loads, journal.read_text().splitlines()[:3]))
    again = project.run_flow("evaluate", *words)
    assert again.returncode == 0, again.stderr
    assert not journal.exists()
    results = [
        {row["id"]: row["answer"] for row in map(json.loads, items.read_text().splitlines())}
        for items in (project.folder / "store" / "evaluate").rglob("items.jsonl")
    ]
    answers = {name: answer["text"] for name, answer in kept.items()}
    assert any(answers.items() <= result.items() for result in results)


def with_lines(project: Project, count: int) -> Path | None:
    """The journal of answers that has at least so many whole lines."""
    unfinished = project.folder / "store" / "unfinished" / "evaluate"
    for journal in unfinished.glob("*/answers.jsonl"):
        if journal.read_bytes().count(b"\n") >= count:
            return journal
    return None


def test_fewer_bits_are_measured_beside_full_precision(project: Project, trained: Any) -> None:
    done = project.run_flow("quantize", "evaluate.max_new_tokens=4")
    assert done.returncode == 0, done.stderr
    assert "The tuned model in fewer bits, on 8 held-out rows" in done.stdout
    (run,) = project.mlflow_runs("loraflow-quantize")
    metrics = run.data.metrics
    assert metrics["quantize/nf4_beside_weights_gib"] < metrics["quantize/none_beside_weights_gib"]
    assert (
        metrics["quantize/int8_merged_loss_difference_low"]
        <= (metrics["quantize/int8_merged_loss_difference_high"])
    )
