"""A training that goes wrong stops before it spoils anything, and says what to do."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

from loraflow.config import DivergenceConfig
from loraflow.model.source import BaseModel
from loraflow.train.checkpoint import newest_checkpoint
from loraflow.train.divergence import REPORT, Diverged, Watch, halve_learning_rate
from loraflow.train.optimizer import flatten_state, restore_state
from tests.train.trainers import ScriptedTrainer, scripted, with_settings

Watched = Callable[..., ScriptedTrainer]


@pytest.fixture
def watched(tiny_base: BaseModel, tmp_path: Path) -> Watched:
    """Return a trainer with scripted losses and a watch on it."""

    def build(
        losses: Sequence[float], *, spike: float | None = 4.0, window: int = 20, **arguments: Any
    ) -> ScriptedTrainer:
        trainer = scripted(tiny_base, tmp_path, losses, **arguments)
        trainer.job = with_settings(trainer.job, divergence=DivergenceConfig(spike, window, 0))
        trainer.add_callback(Watch(trainer.job, trainer))
        return trainer

    return build


def diverged(trainer: ScriptedTrainer) -> Diverged:
    with pytest.raises(Diverged) as caught:
        trainer.train()
    return caught.value


def weight(trainer: ScriptedTrainer) -> torch.Tensor:
    return next(trainer.model.parameters()).detach().clone()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stops_before_it_is_applied(watched: Watched, bad: float) -> None:
    trainer = watched([1.0, 1.0, bad], save_strategy="steps", save_steps=2)
    assert diverged(trainer).step == 3
    assert trainer.state.global_step == 2
    good = newest_checkpoint(trainer.job.work / "checkpoints")
    assert good is not None
    assert torch.equal(weight(trainer), good.tensors()["model/weight"])


def test_a_gradient_that_is_not_finite_is_enough(watched: Watched) -> None:
    class Spoil(TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(self, *_: Any, model: nn.Module, **__: Any) -> None:
            next(model.parameters()).grad.fill_(math.inf)  # type: ignore[union-attr]

    trainer = watched([1.0, 1.0])
    trainer.callback_handler.callbacks.insert(0, Spoil())
    assert "the gradient is not finite (loss 1.01" in str(diverged(trainer))


def test_a_spike_stops_and_the_message_says_what_to_change(watched: Watched) -> None:
    found = diverged(watched([1.0] * 6 + [50.0]))
    assert found.step == 7
    for part in (
        "step 7",
        "train.divergence.spike=4",
        "usual loss 1.0",
        "set train.learning_rate=0.0005 (now 0.001)",
        "lower train.max_grad_norm=1",
        REPORT,
    ):
        assert part in str(found)


def test_no_checkpoint_of_the_bad_step_is_written(watched: Watched) -> None:
    trainer = watched([1.0] * 6 + [50.0], save_strategy="steps", save_steps=1)
    found = diverged(trainer)
    steps = sorted(path.name for path in (trainer.job.work / "checkpoints").iterdir())
    assert steps[-1] == "step-00000006"
    assert found.suspect_from == 6  # its weights had the loss of 50


@pytest.mark.parametrize(
    ("losses", "spike", "why"),
    [
        ([1.0, 50.0, 1.0], 4.0, "too early to know what is usual"),
        ([2.0, 0.1, 0.2, 7.0], 4.0, "early, and less than four times the highest"),
        ([1.0] * 6 + [3.9], 4.0, "less than four times"),
        ([1.0] * 6 + [50.0], None, "switched off"),
        ([0.001] * 6 + [0.3], 4.0, "noise of a loss near zero"),
        ([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 12.0], 4.0, "falling, and within bounds"),
    ],
)
def test_no_alarm(watched: Watched, losses: list[float], spike: float | None, why: str) -> None:
    trainer = watched(losses, spike=spike)
    trainer.train()
    assert trainer.state.global_step == len(losses), why


def test_a_training_that_goes_wrong_at_once_is_stopped_too(watched: Watched) -> None:
    assert diverged(watched([1.0, 2.0, 9.0])).step == 3


def test_only_the_last_losses_are_usual(watched: Watched) -> None:
    assert diverged(watched([50.0] * 5 + [1.0] * 3 + [30.0], window=3)).step == 9


def test_report_names_the_rows_and_is_strict_json(watched: Watched) -> None:
    trainer = watched([1.0, 2.0, math.nan])
    diverged(trainer)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    text = (trainer.job.work / REPORT).read_text()
    report = json.loads(text, parse_constant=refuse)
    assert report["rows"] == [{"id": "row-2", "tokens": 7}]
    assert (report["step"], report["loss"]) == (3, "nan")
    assert report["usual_loss"] == pytest.approx(2.02, abs=1e-2)
    assert report["losses_before"] == pytest.approx([1.01, 2.02], abs=1e-2)
    assert report["learning_rate"] == pytest.approx(1e-3 / 3)
    assert report["advice"][0] == "set train.learning_rate=0.0005 (now 0.001)"


def test_a_resumed_training_judges_the_same(watched: Watched) -> None:
    before, after = watched([1.0] * 5), watched([50.0])
    before.train()
    kept = json.loads(json.dumps(watch(before).state_dict()))
    watch(after).load_state_dict(kept)
    assert diverged(after).step == 1


def watch(trainer: ScriptedTrainer) -> Watch:
    (found,) = (each for each in trainer.callback_handler.callbacks if isinstance(each, Watch))
    return found


def test_half_precision_leaves_gradients_to_the_scaler(watched: Watched) -> None:
    trainer = watched([1.0])
    next(trainer.model.parameters()).grad = torch.tensor([[math.inf]])
    args: Any = SimpleNamespace(fp16=True)
    logs = {"loss": 1.0, "grad_norm": math.inf, "learning_rate": 1e-3}
    watch(trainer).on_pre_optimizer_step(args, trainer.state, trainer.control)
    watch(trainer).on_log(args, trainer.state, trainer.control, logs=logs)


def schedule() -> Any:
    """Two groups with rates of their own, falling to zero in ten steps."""
    groups: list[dict[str, Any]] = [
        {"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (0.01, 0.16)
    ]
    optimizer = AdamW(groups)
    scheduler = LambdaLR(optimizer, lambda step: 1 - step / 10)
    return SimpleNamespace(optimizer=optimizer, lr_scheduler=scheduler)


def advance(trainer: Any, steps: int) -> list[list[float]]:
    rates = []
    for _ in range(steps):
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        rates.append([group["lr"] for group in trainer.optimizer.param_groups])
    return rates


def test_halved_rates_stay_half_of_what_the_schedule_had() -> None:
    usual, halved = schedule(), schedule()
    advance(usual, 3), advance(halved, 3)
    state = json.loads(json.dumps(halved.lr_scheduler.state_dict()))
    resumed = schedule()
    restore_state(resumed.optimizer, *flatten_state(halved.optimizer))
    resumed.lr_scheduler.load_state_dict(state)
    halve_learning_rate(resumed)
    rates = [group["lr"] for group in resumed.optimizer.param_groups]
    assert resumed.lr_scheduler.get_last_lr() == rates == pytest.approx([0.0035, 0.056])
    for mine, theirs in zip(advance(resumed, 4), advance(usual, 4), strict=True):
        assert mine == pytest.approx([rate / 2 for rate in theirs])
