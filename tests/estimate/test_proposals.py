"""What cannot fit is refused before anything is loaded, with settings that would."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loraflow.errors import UserError
from loraflow.estimate.decisions import decide_training
from loraflow.estimate.machine import Machine
from loraflow.estimate.memory import GIB
from loraflow.estimate.proposals import proposals, require_memory
from loraflow.estimate.shapes import Training, training_of
from loraflow.model.source import BaseModel
from tests.conftest import composed


def training(base: BaseModel, *overrides: str) -> Training:
    config = composed("train.max_length=512", "train.per_device_train_batch_size=16", *overrides)
    return training_of(
        replace(base, quantization=config.quantization), config.adapter, config.train
    )


def machine(gib: float) -> Machine:
    return Machine("RAM", int(100 * GIB), int(gib * GIB))


def needed(found: Training) -> float:
    return decide_training(found, machine(100)).estimate.total_gib


def test_what_fits_is_decided(tiny_base: BaseModel) -> None:
    decided = require_memory({"": training(tiny_base)}, machine(100))
    assert list(decided) == [""]
    assert decided[""].estimate.total_gib > 0.5


def test_what_does_not_fit_is_refused_with_what_would(tiny_base: BaseModel) -> None:
    found = training(tiny_base)
    with pytest.raises(
        UserError, match=r"takes about .* GiB.*train\.per_device_train_batch_size=1"
    ):
        require_memory({"": found}, machine(needed(found) - 0.001))


def test_an_earlier_training_is_named(tiny_base: BaseModel) -> None:
    with pytest.raises(UserError, match=r"^before\.cpt takes"):
        require_memory({"cpt": training(tiny_base)}, machine(0.6))


def test_where_nothing_helps_a_smaller_model_is_named(tiny_base: BaseModel) -> None:
    with pytest.raises(UserError, match="choose a smaller model"):
        require_memory({"": training(tiny_base)}, machine(0.1))


def test_each_proposal_fits_and_composes(tiny_base: BaseModel) -> None:
    found = training(tiny_base, "quantization=none", "adapter.r=64")
    room = machine(needed(found) - 0.0005)
    offered = proposals(found, room)
    assert offered
    for proposal in offered:
        assert proposal.gib * GIB <= room.free
        assert isinstance(composed(*proposal.overrides.split()), object)


@pytest.mark.parametrize("method", ["lora", "ia3", "prefix", "prompt", "adalora", "full"])
@pytest.mark.parametrize("task", ["sft", "preference", "classify"])
def test_every_method_and_task_has_an_estimate(
    method: str, task: str, tiny_base: BaseModel
) -> None:
    if (method, task) == ("prompt", "classify"):
        pytest.skip("refused by the table")
    overrides: list[Any] = [f"adapter={method}", f"train={task}", "quantization=none"]
    assert needed(training(tiny_base, *overrides)) > 0.6


def test_only_config_json_is_read(tiny_folder: Path, tiny_base: BaseModel, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    bare = replace(tiny_base, folder=tmp_path)
    assert needed(training(bare)) == needed(training(tiny_base))
