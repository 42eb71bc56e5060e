"""AdaLoRA really moves ranks, keeps its vectors apart, and goes on after an interruption."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from loraflow.errors import UserError
from loraflow.model.adapter import attach_adapter
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from loraflow.train.adalora import (
    RankAllocation,
    allocator_state,
    load_allocator_state,
    orthogonality_loss,
)
from loraflow.train.trainer import StageTrainer
from tests.model.ways import IDS, adapter, attach, logits, loss_of, reload, trained

STEPS = 12
ARGUMENTS: Any = None  # the callback reads none
TAKEN, SKIPPED = (SimpleNamespace(step_was_skipped=skipped) for skipped in (False, True))


def attached(base: BaseModel, r: int = 4, steps: int = STEPS) -> Any:
    chosen = adapter("adapter=adalora", f"adapter.r={r}")
    model = attach(base, chosen)
    model.peft_config["default"].total_step = steps
    return model


def optimizer_of(model: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(trained(model).values(), lr=0.02, weight_decay=0.01)


def run(model: Any, optimizer: torch.optim.Optimizer, *, first: int = 0, last: int) -> None:
    """Take steps with the calls of the Trainer, in its order."""
    callback, state, control = RankAllocation(), TrainerState(), TrainerControl()
    for step in range(first, last):
        state.global_step = step
        (loss_of(model) + orthogonality_loss(model)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        callback.on_optimizer_step(ARGUMENTS, state, control, model=model, optimizer=TAKEN)
        optimizer.zero_grad()


def ranks(model: Any) -> list[int]:
    """Count the singular values that are left, module by module."""
    return [int((value != 0).sum()) for name, value in model.named_parameters() if "lora_E" in name]


class Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {"input_ids": IDS[place % 3], "labels": IDS[place % 3]}


@pytest.mark.parametrize("r", [1, 4])
def test_under_the_trainer_ranks_move_and_end_at_the_budget(
    r: int, tiny_nf4_base: BaseModel, tmp_path: Path
) -> None:
    model = attached(tiny_nf4_base, r)
    modules = len(ranks(model))
    arguments = TrainingArguments(
        **{"output_dir": str(tmp_path), "max_steps": STEPS, "per_device_train_batch_size": 2},
        **{"gradient_accumulation_steps": 2, "learning_rate": 0.02, "save_strategy": "no"},
        **{"report_to": [], "use_cpu": True, "disable_tqdm": True},
    )
    Trainer(model, arguments, train_dataset=Rows(), callbacks=[RankAllocation()]).train()
    left = ranks(model)
    assert sum(left) == r * modules
    assert len(set(left)) > 1
    pattern = model.peft_config["default"].rank_pattern
    assert [sum(kept) for kept in pattern.values()] == left
    after = logits(model)
    model.save_pretrained(tmp_path / "adapter")
    torch.testing.assert_close(
        logits(reload(tiny_nf4_base, tmp_path / "adapter")), after, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_the_shortest_trainings_end_at_the_budget_too(steps: int, tiny_base: BaseModel) -> None:
    model = attach_adapter(
        load_base(tiny_base), adapter("adapter=adalora"), task="sft", seed=0, total_steps=steps
    )
    run(model, optimizer_of(model), last=steps)
    assert sum(ranks(model)) == 8 * len(ranks(model))


def test_a_single_step_is_refused(tiny_base: BaseModel) -> None:
    with pytest.raises(UserError, match=r"adapter\.method=adalora .*training has 1; raise train\."):
        attach_adapter(
            load_base(tiny_base), adapter("adapter=adalora"), task="sft", seed=0, total_steps=1
        )


def test_the_penalty_is_that_of_peft(tiny_base: BaseModel) -> None:
    model = attached(tiny_base)
    inputs = {"input_ids": IDS, "labels": IDS}
    with_penalty = model(**inputs).loss
    without = model.get_base_model()(**inputs).loss
    torch.testing.assert_close(orthogonality_loss(model), with_penalty - without)


def test_vectors_become_more_orthogonal(tiny_base: BaseModel) -> None:
    model = attached(tiny_base)
    before = orthogonality_loss(model).item()
    run(model, optimizer_of(model), last=STEPS)
    assert orthogonality_loss(model).item() < 0.9 * before


@pytest.mark.parametrize("interrupted", [1, 2, 5, 8, 9, 11])
def test_an_interrupted_training_ends_like_an_unbroken_one(
    interrupted: int, tiny_base: BaseModel
) -> None:
    whole = attached(tiny_base)
    run(whole, optimizer_of(whole), last=STEPS)
    first = attached(tiny_base)
    optimizer = optimizer_of(first)
    run(first, optimizer, last=interrupted)

    second = attached(tiny_base)
    for name, value in trained(second).items():
        value.data.copy_(trained(first)[name].data)
    saved = {name: value.clone() for name, value in allocator_state(first).items()}
    load_allocator_state(second, saved)
    resumed = optimizer_of(second)
    resumed.load_state_dict(optimizer.state_dict())
    run(second, resumed, first=interrupted, last=STEPS)

    for name, value in trained(whole).items():
        assert torch.equal(value, trained(second)[name]), name
    patterns = [model.peft_config["default"].rank_pattern for model in (whole, second)]
    assert patterns[0] == patterns[1]


def test_without_adalora_there_is_no_state(tiny_base: BaseModel) -> None:
    model = attach(tiny_base, adapter("adapter=lora"))
    assert allocator_state(model) == {}
    load_allocator_state(model, {})


class Stepping:
    """Stands for the trainer beside ours, after its part of a step."""

    def training_step(self) -> Tensor:
        return torch.zeros(())


class Stepper(StageTrainer, Stepping):
    pass


def test_the_penalty_is_scaled_as_the_loss_is(tiny_base: BaseModel) -> None:
    model = attached(tiny_base)
    trainer: Any = Stepper()
    trainer.model, trainer.state, trainer.current_gradient_accumulation_steps = (
        model,
        TrainerState(),
        1,
    )
    trainer.job = SimpleNamespace(adapter=SimpleNamespace(method="adalora"))
    trainer.accelerator = SimpleNamespace(backward=lambda loss: (1024 * loss).backward())
    trainer.training_step()
    vectors = {name: value for name, value in trained(model).items() if "lora_E" not in name}
    plain = torch.autograd.grad(orthogonality_loss(model), list(vectors.values()))
    for value, gradient in zip(vectors.values(), plain, strict=True):
        torch.testing.assert_close(value.grad, 1024 * gradient)


def test_a_step_that_was_skipped_measures_no_importance(tiny_base: BaseModel) -> None:
    model = attached(tiny_base)
    for value in trained(model).values():
        value.grad = torch.full_like(value, torch.inf)
    RankAllocation().on_optimizer_step(
        ARGUMENTS, TrainerState(), TrainerControl(), model=model, optimizer=SKIPPED
    )
    assert allocator_state(model) == {}


def test_ranks_end_at_the_budget_though_that_step_was_skipped(tiny_base: BaseModel) -> None:
    model = attached(tiny_base)
    config = model.peft_config["default"]
    last = config.total_step - config.tfinal
    run(model, optimizer_of(model), last=last - 1)
    RankAllocation().on_optimizer_step(
        ARGUMENTS,
        TrainerState(global_step=last - 1),
        TrainerControl(),
        model=model,
        optimizer=SKIPPED,
    )
    assert sum(ranks(model)) == 4 * len(ranks(model))
