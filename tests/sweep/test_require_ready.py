"""A sweep that would fail in the middle does not begin."""

from pathlib import Path
from typing import Any

import pytest

from flows.runners import require_ready
from flows.sweep import sweep
from flows.sweep_command import read_request
from loraflow.config import Config
from loraflow.errors import UserError
from loraflow.estimate import machine
from loraflow.estimate.machine import Machine
from loraflow.model.source import BaseModel

GIB = 2**30
NO_SUCH_MODULES = r"^r=1 nope: adapter\.target_modules=.*choose from down_proj"


TUNED = [
    "+sweep.search.tune={train.learning_rate: [1e-3, 1e-4]}",
    "train.early_stopping={rows: 16, steps: 2, patience: 1000}",
]


@pytest.fixture
def words(tiny_overrides: list[str], tmp_path: Path) -> list[str]:
    (tmp_path / "store").mkdir()  # as check_machine makes it before
    return ["sweep=smoke", *tiny_overrides]


def limit_memory(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(machine, "this_machine", lambda: Machine("RAM", free, free))


def test_arms_that_the_base_can_have_may_start(words: list[str]) -> None:
    require_ready(read_request(words))
    require_ready(read_request([*words, "runner=processes"]))


def test_the_arm_is_named_whose_modules_the_base_does_not_have(words: list[str]) -> None:
    request = read_request([*words, "adapter.target_modules=attention,[nope]"])
    with pytest.raises(UserError, match=NO_SUCH_MODULES):
        require_ready(request)


def test_the_arm_is_named_whose_texts_are_longer_than_the_base_can_read(words: list[str]) -> None:
    request = read_request([*words, "adapter.r=1", "train.max_length=64,1024"])
    with pytest.raises(UserError, match=r"^r=1 max_length=1024: train\.max_length=1024 .*exceed"):
        require_ready(request)


def test_more_workers_than_memory_has_room_for_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, GIB // 4)
    require_ready(read_request(words))  # each trial asks for itself
    for runner in ("processes", "dask", "ray"):
        with pytest.raises(UserError, match=r"^runner\.workers=2 leaves each trial 0\.1 GiB.*r=1:"):
            require_ready(read_request([*words, f"runner={runner}"]))


def test_memory_is_that_of_the_arms_own_base(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(config: Config, base: BaseModel) -> dict[str, Any]:
        asked.append(base.quantization.method)
        return {}

    monkeypatch.setattr("flows.runners.trainings_of", note)
    require_ready(read_request([*words, "runner=processes", "quantization=none,nf4"]))
    assert asked == ["none", "nf4"] * 2


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (["adapter.target_modules=[nope],attention"], NO_SUCH_MODULES),
        ([*TUNED, "sweep.search.storage=x.db"], r"^sweep\.search\.storage=x\.db cannot be opened"),
    ],
)
def test_a_sweep_that_cannot_start_leaves_no_run_in_mlflow(
    words: list[str], more: list[str], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=fault):
        sweep.fn("tiny", [*words, *more])
    assert not (tmp_path / "mlruns").exists()
