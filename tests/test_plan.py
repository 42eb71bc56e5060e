"""A change redoes what follows from it, and nothing else."""

from pathlib import Path

import pytest

from loraflow.files import write_lines
from loraflow.model.source import BaseModel
from loraflow.plan.experiment import Plan, make_plan
from tests.conftest import composed

STAGES = ["prepare", "tokenize", "report", "evaluate_base", "train", "evaluate_tuned"]


def changed(before: Plan, after: Plan) -> list[str]:
    """The stages whose keys differ."""
    old, new = before.digests(), after.digests()
    return [stage for stage in STAGES if old[stage] != new[stage]]


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("evaluate.max_new_tokens=9", ["evaluate_base", "evaluate_tuned"]),
        ("adapter.r=4", ["train", "evaluate_tuned"]),
        ("train.seed=1", ["train", "evaluate_tuned"]),
        ("quantization=none", ["evaluate_base", "train", "evaluate_tuned"]),
        ("template=alpaca", STAGES[1:]),
        ("train.max_length=256", STAGES[1:]),
        ("data.split.seed=1", STAGES),
        ("store=elsewhere", []),
        ("data.min_train_rows=1", []),
        ("template.name=other", []),
        ("tracking.experiment=other", []),
    ],
)
def test_override_changes_what_depends_on_it(
    override: str, stages: list[str], tiny_base: BaseModel
) -> None:
    before, after = (make_plan(composed(*words), tiny_base) for words in ([], [override]))
    assert changed(before, after) == stages
    assert (before.experiment == after.experiment) == (not stages)


def test_one_changed_row_under_the_same_path_redoes_everything(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    config = composed("data=alpaca", f"data.path={path}")
    write_lines(path, [{"instruction": "你是谁？", "output": "甄嬛"}])
    before = make_plan(config, tiny_base)
    write_lines(path, [{"instruction": "你是谁？", "output": "华妃"}])
    assert changed(before, make_plan(config, tiny_base)) == STAGES


def test_same_content_under_another_path_is_the_same(tiny_base: BaseModel, tmp_path: Path) -> None:
    plans = []
    for name in ("a/rows.jsonl", "b/rows.jsonl"):
        (tmp_path / name).parent.mkdir()
        write_lines(tmp_path / name, [{"instruction": "q", "output": "a"}])
        plans.append(make_plan(composed("data=alpaca", f"data.path={tmp_path / name}"), tiny_base))
    assert plans[0] == plans[1]
