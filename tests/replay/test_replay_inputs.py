"""The first stage that depends on something else is named, and what it is."""

from pathlib import Path
from typing import Any

import pytest

from loraflow.replay.inputs import compare_inputs
from loraflow.store import Key, make_key
from loraflow.tracking.recorded import Recorded


def stages(version: int = 1, **of_train: Any) -> dict[str, Key]:
    """A preparation and a training that reads it."""
    data = of_train.pop("content", "abc")
    prepare = make_key("prepare", 1, content=data)
    settings = {"train": {"seed": 0}, "base": ["rev", False], "libraries": {"torch": "1"}}
    return {
        "prepare": prepare,
        "train": make_key("train", version, reads=[prepare], **{**settings, **of_train}),
    }


def recorded(keys: dict[str, Key]) -> Recorded:
    results = {name: {"inputs": key.inputs} for name, key in keys.items()}
    digests = {name: key.digest for name, key in keys.items()}
    return Recorded("id", "name", "", "", {}, digests, results, Path())


def test_the_same_plan_has_no_difference() -> None:
    assert compare_inputs(recorded(stages()), stages()) is None


@pytest.mark.parametrize(
    ("now", "stage", "reason"),
    [
        (stages(content="def"), "prepare", 'the data\'s content has changed: "abc" -> "def"'),
        (stages(train={"seed": 1}), "train", "config train.seed: 0 -> 1"),
        (stages(base=["other", False]), "train", "the base model is another (revision)"),
    ],
)
def test_another_experiment_is_named_with_the_reason(
    now: dict[str, Key], stage: str, reason: str
) -> None:
    found = compare_inputs(recorded(stages()), now)
    assert found is not None
    assert found.stage == stage
    assert reason in found.reasons[0]
    assert not found.is_code_only


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (stages(libraries={"torch": "2"}), 'library torch: "1" -> "2"'),
        (stages(version=2), "the code of this stage makes another output (its version): 1 -> 2"),
    ],
)
def test_other_code_may_still_give_the_same(now: dict[str, Key], reason: str) -> None:
    found = compare_inputs(recorded(stages()), now)
    assert found is not None
    assert found.reasons == (reason,)
    assert found.is_code_only


def test_other_code_does_not_hide_other_settings_of_a_later_stage() -> None:
    before = stages()
    now = {**stages(train={"seed": 1}), "prepare": make_key("prepare", 2, content="abc")}
    found = compare_inputs(recorded(before), now)
    assert found is not None
    assert found.stage == "prepare"
    assert not found.is_code_only


def test_stage_that_was_not_asked_for_is_named() -> None:
    before = stages()
    found = compare_inputs(recorded(before), {**before, "probe_base": make_key("probe", 1)})
    assert found is not None
    assert found.reasons == ("probe_base was not asked for",)


def test_stage_that_is_asked_for_no_more_is_named() -> None:
    before = stages()
    found = compare_inputs(recorded(before), {"prepare": before["prepare"]})
    assert found is not None
    assert found.reasons == ("train is asked for no more",)
