"""The promise of `make run`, kept with the real base model. Minutes, so only in make test-all."""

import subprocess
from pathlib import Path

import pytest

from loraflow.model.source import find_base
from loraflow.model.tokenizer import load_tokenizer
from tests.conftest import composed
from tests.data.test_template import CONVERSATION, NAMES, bind
from tests.test_flows import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, int, str]:
    """The default experiment, with its own store and history."""
    folder = tmp_path_factory.mktemp("real")
    overrides = [
        f"store={folder / 'store'}",
        f"tracking.uri=sqlite:///{folder / 'mlruns' / 'mlflow.db'}",
        f"tracking.artifacts={folder / 'mlruns' / 'artifacts'}",
    ]
    project = Project(overrides, folder)
    run = project.run(timeout_seconds=1800)
    return project, run.returncode, run.stderr


def test_tuned_model_is_twice_as_good_as_the_base(done: tuple[Project, int, str]) -> None:
    project, status, errors = done
    assert status == 0, errors
    (run,) = project.mlflow_runs()
    metrics = run.data.metrics
    assert metrics["evaluate/rougeL"] >= 2 * metrics["evaluate_base/rougeL"]
    assert metrics["compare/rougeL_low"] > 0
    assert metrics["evaluate/loss"] < metrics["evaluate_base/loss"]


def test_it_fits_a_laptop(done: tuple[Project, int, str]) -> None:
    project, _, _ = done
    (run,) = project.mlflow_runs()
    assert run.data.metrics["train/peak_memory_gib"] < 6


@pytest.mark.parametrize("name", NAMES)
def test_templates_hold_with_the_real_tokenizer(name: str) -> None:
    config = composed(f"template={name}")
    tokenizer = load_tokenizer(find_base(config.model, config.quantization))
    template = bind(name, tokenizer)
    example = template.example(CONVERSATION)
    asked = template.prompt_ids(CONVERSATION[:-1])
    assert example.input_ids[: len(asked)] == asked
    assert example.input_ids[-1] == example.labels[-1] == tokenizer.eos_token_id
    assert "甄远道" in tokenizer.decode(example.input_ids[len(asked) :])


def test_alpaca_records_run(tmp_path: Path) -> None:
    """Chinese records in the Alpaca layout go the whole road."""
    path = tmp_path / "数据.jsonl"
    lines = (
        f'{{"instruction": "第{n}个问题：{n}加{n}等于几？", "output": "等于{2 * n}。"}}'
        for n in range(120)
    )
    path.write_text("\n".join(lines), encoding="utf-8")
    project = Project(
        [
            "data=alpaca",
            f"data.path={path}",
            "data.split.held_out_rows=16",
            "train=smoke",
            "evaluate.max_new_tokens=8",
            f"store={tmp_path / 'store'}",
            f"tracking.uri=sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}",
            f"tracking.artifacts={tmp_path / 'mlruns' / 'artifacts'}",
        ],
        tmp_path,
    )
    run: subprocess.CompletedProcess[str] = project.run(timeout_seconds=900)
    assert run.returncode == 0, run.stderr
    assert "第" in run.stdout
