"""Layers that are not in turn stay as they are to the bit, under every optimizer."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from loraflow.errors import UserError
from loraflow.model.architectures import layer_of
from loraflow.model.source import BaseModel
from loraflow.train.progressive import Progressive, phase_of
from tests.model.ways import IDS, adapter, attach, held, trained

OPTIMIZERS = ["adamw_torch", "adamw_8bit", "lion_8bit", "adafactor", "sgd"]


class Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
    def __init__(self, labels: Any = None) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return 24

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        ids = IDS[place % 3]
        return {"input_ids": ids, "labels": ids if self.labels is None else self.labels[place % 3]}


class Snapshots(TrainerCallback):  # type: ignore[misc]
    """Keeps all that is trained, after each step."""

    def __init__(self, model: Any) -> None:
        self.model, self.taken = model, [self._take(model)]

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.taken.append(self._take(self.model))

    @staticmethod
    def _take(model: Any) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in trained(model).items()}


def changed_layers(
    model: Any, folder: Path, shares: list[float], **settings: Any
) -> list[set[Any]]:
    """Train six steps and return the layers that each changed, None for what is outside."""
    labels = settings.pop("labels", None)
    arguments = TrainingArguments(
        **{"output_dir": str(folder), "max_steps": 6, "per_device_train_batch_size": 2},
        **{"gradient_accumulation_steps": 2, "learning_rate": 0.01, "weight_decay": 0.1},
        **{"save_strategy": "no", "report_to": [], "use_cpu": True, "disable_tqdm": True},
        **settings,
    )
    snapshots = Snapshots(model)
    Trainer(
        model,
        arguments,
        train_dataset=Rows(labels),
        callbacks=[Progressive(model, shares), snapshots],
    ).train()
    return [
        {layer_of(name) for name in before if not torch.equal(before[name], after[name])}
        for before, after in zip(snapshots.taken, snapshots.taken[1:], strict=False)
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_only_the_layers_in_turn_move(
    optimizer: str, tiny_nf4_base: BaseModel, tmp_path: Path
) -> None:
    model = attach(tiny_nf4_base, adapter("adapter.r=64"))  # large enough for 8-bit moments
    changed = changed_layers(model, tmp_path, [1, 1], optim=optimizer)
    assert changed == [{0}] * 3 + [{1}] * 3


def test_shares_say_how_long_each_group_is_trained(
    tiny_base: BaseModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "loraflow.train.progressive"):
        changed = changed_layers(attach(tiny_base, adapter()), tmp_path, [2, 1])
    assert changed == [{0}] * 4 + [{1}] * 2
    assert caplog.messages == [
        "layers 0 to 0 are trained up to step 4",
        "layers 1 to 1 are trained up to step 6",
    ]


def test_full_fine_tuning_trains_what_lies_outside_of_layers_always(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    model = attach(tiny_base, adapter("adapter=full"))
    assert changed_layers(model, tmp_path, [1, 1]) == [{0, None}] * 3 + [{1, None}] * 3


def test_a_head_is_always_trained(tiny_folder: Path, tmp_path: Path) -> None:
    model = attach(held(tiny_folder, "none"), adapter(), task="classify")
    changed = changed_layers(model, tmp_path, [1, 1], labels=torch.tensor([0, 1, 2]))
    assert changed == [{0, None}] * 3 + [{1, None}] * 3


def test_an_interrupted_training_ends_like_an_unbroken_one(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    def final(stop: int | None, name: str) -> dict[str, Tensor]:
        model = attach(tiny_base, adapter("adapter.r=64"))
        arguments = TrainingArguments(
            **{"output_dir": str(tmp_path / name), "max_steps": 6, "learning_rate": 0.01},
            **{"report_to": [], "use_cpu": True, "disable_tqdm": True, "save_steps": 2},
        )
        trainer = Trainer(
            model, arguments, train_dataset=Rows(), callbacks=[Progressive(model, [1, 1])]
        )
        resume = None if stop is None else str(tmp_path / "whole" / f"checkpoint-{stop}")
        trainer.train(resume_from_checkpoint=resume)
        return {name: value.detach() for name, value in trained(model).items()}

    whole = final(None, "whole")
    for stop in (2, 4):
        resumed = final(stop, f"resumed-{stop}")
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_step_alone_names_the_group() -> None:
    assert [phase_of(step, [1, 1], 6) for step in range(6)] == [0, 0, 0, 1, 1, 1]
    assert [phase_of(step, [1, 2, 1], 8) for step in range(8)] == [0, 0, 1, 1, 1, 1, 2, 2]
    assert phase_of(6, [1, 1], 6) == 1  # a step that comes after the last


def test_more_groups_than_layers_are_refused(tiny_base: BaseModel) -> None:
    with pytest.raises(UserError, match=r"train\.progressive has 3 shares and the model 2 trained"):
        Progressive(attach(tiny_base, adapter()), [1, 1, 1])


def test_a_group_without_steps_is_refused(tiny_base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.progressive=\[1, 99\]: 6 steps leave a group"):
        changed_layers(attach(tiny_base, adapter()), tmp_path, [1, 99])
