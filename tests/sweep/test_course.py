"""What a sweep is named by: the same command goes on with it, another question does not."""

from pathlib import Path

import pytest

from flows.course import Course
from flows.sweep_command import read_request

TUNED = [
    "sweep=smoke",
    "++sweep.search.tune={train.learning_rate: [1e-3,1e-4]}",
    "train.early_stopping={rows: 16, steps: 2, patience: 1000}",
]


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("sweep.search.objectives=[loss,seconds]", False),
        ("sweep.seeds=[0]", False),
        ("sweep.search.pruning=halving", False),
        ("adapter.r=1", False),
        ("adapter.alpha=5", False),
        ("adapter.dropout=0.1", False),
        ("adapter=dora", False),  # the base model's arm has none
        ("sweep.attempts=3", True),
        ("train.checkpoint.steps=3", True),
        ("sweep.compare.margin=0.5", True),
        ("runner=processes", True),
    ],
)
def test_a_sweep_is_named_by_what_its_trials_follow_from(
    words: str, same: bool, tiny_overrides: list[str]
) -> None:
    usual, changed = (
        Course(read_request([*TUNED, *tiny_overrides, *more])).key for more in ([], [words])
    )
    assert (usual == changed) is same


@pytest.mark.parametrize("where", ["sweep.space", "sweep.search.tune"])
def test_a_sweep_is_named_by_the_rows_that_any_choice_reads(
    where: str, tiny_overrides: list[str], tmp_path: Path
) -> None:
    rows = tmp_path / "b.jsonl"
    choices = f"rows={{usual: {{data.train_rows: 64}}, b: {{data: file, data.path: [{rows}]}}}}"
    rows.write_text('{"instruction": "Why?", "input": "", "output": "Yes."}\n')
    request = read_request([*TUNED, *tiny_overrides, "adapter.r=1", f"++{where}.{choices}"])
    key = Course(request).key
    assert Course(request).key == key
    rows.write_text('{"instruction": "Why?", "input": "", "output": "No."}\n')
    assert Course(request).key != key
