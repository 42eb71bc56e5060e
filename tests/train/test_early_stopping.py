"""A training ends when it no longer gets better, with the best of what it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, PeftModel, get_peft_model
from transformers import TrainerCallback
from transformers.trainer_utils import IntervalStrategy

from loraflow.config import EarlyStoppingConfig
from loraflow.errors import UserError
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from loraflow.train.adalora import RankAllocation
from loraflow.train.checkpoint import forget_checkpoints, newest_checkpoint
from loraflow.train.early_stopping import (
    BEST,
    EarlyStopping,
    evaluation_arguments,
    set_apart,
    split_rows,
)
from loraflow.train.preference import build_trainer
from tests.train.trainers import (
    ScriptedTrainer,
    basic_arguments,
    make_job,
    pair,
    scripted,
    with_lora,
    with_settings,
)

IDS = [f"row-{number}" for number in range(50)]
Stopping = Callable[..., ScriptedTrainer]


@pytest.fixture
def stopping(tiny_base: BaseModel, tmp_path: Path) -> Stopping:
    """Return a trainer of twelve steps with scripted losses on the rows apart."""

    def build(looks: dict[int, float], **arguments: Any) -> ScriptedTrainer:
        settings = {"eval_strategy": "steps", "eval_steps": 2, **arguments}
        trainer = scripted(tiny_base, tmp_path, [1.0] * 12, **settings)
        early = EarlyStoppingConfig(rows=1, steps=2, patience=2)
        trainer.job = with_settings(trainer.job, early_stopping=early)
        trainer.looks = looks
        trainer.add_callback(EarlyStopping(trainer.job, trainer))
        return trainer

    return build


def weight(trainer: ScriptedTrainer) -> float:
    return float(next(trainer.model.parameters()).detach())


def weight_after(stopping: Stopping, steps: int) -> float:
    """Return the weight after so many steps of the same schedule."""
    trainer = stopping({step: -float(step) for step in (*range(2, 13, 2), steps)})
    found: list[float] = []
    trainer.add_callback(_Note(trainer, steps, found))
    trainer.train()
    (trainer.job.work / BEST).unlink()
    return found[0]


class _Note(EarlyStopping):
    def __init__(self, trainer: ScriptedTrainer, steps: int, found: list[float]) -> None:
        super().__init__(trainer.job, trainer)
        self._steps, self._found = steps, found

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self._steps:
            self._found.append(weight(self._trainer))


def test_rows_apart_depend_on_their_ids_alone() -> None:
    kept, apart = set_apart(IDS, 10)
    assert (len(kept), len(apart)) == (40, 10)
    assert sorted(kept + apart) == list(range(50))
    backwards = set_apart(IDS[::-1], 10)[1]
    assert {IDS[place] for place in apart} == {IDS[::-1][place] for place in backwards}


def test_more_rows_apart_include_fewer() -> None:
    assert set(set_apart(IDS, 5)[1]) < set(set_apart(IDS, 10)[1])


def test_too_many_rows_apart_are_refused() -> None:
    with pytest.raises(UserError, match=r"train.early_stopping.rows=50 leaves none of 50 rows"):
        set_apart(IDS, 50)


def test_without_early_stopping_all_rows_are_trained_on(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    trainer = scripted(tiny_base, tmp_path, [1.0] * 3)
    settings = trainer.job.settings
    assert settings.early_stopping is None
    assert split_rows(trainer.train_dataset, settings) == (trainer.train_dataset, None)
    assert evaluation_arguments(settings) == {}


def test_it_stops_after_its_patience_with_the_best_weights(stopping: Stopping) -> None:
    best = weight_after(stopping, 4)
    trainer = stopping({2: 3.0, 4: 2.0, 6: 2.5, 8: 2.4, 10: 1.0, 12: 1.0})
    trainer.train()
    assert trainer.state.global_step == 8
    assert weight(trainer) == best


def test_a_better_look_renews_the_patience(stopping: Stopping) -> None:
    trainer = stopping({2: 3.0, 4: 3.5, 6: 2.9, 8: 3.5, 10: 2.8, 12: 3.5})
    trainer.train()
    assert trainer.state.global_step == 12
    assert weight(trainer) == weight_after(stopping, 10)


def test_the_last_step_is_looked_at_whatever_the_steps_between(stopping: Stopping) -> None:
    trainer = stopping({5: 2.0, 10: 1.5, 12: 1.0}, eval_steps=5)
    trainer.train()
    looks = [entry["step"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert looks == [5, 10, 12]
    assert weight(trainer) == weight_after(stopping, 12)


@pytest.mark.parametrize("killed_after", [3, 6])
def test_a_resumed_training_stops_at_the_same_step_with_the_same_weights(
    stopping: Stopping, killed_after: int
) -> None:
    looks = {2: 3.0, 4: 2.0, 6: 2.5, 8: 2.4, 10: 1.0, 12: 1.0}
    whole = stopping(looks, save_strategy="steps", save_steps=3)
    whole.train()  # its file of the best weights is from behind the checkpoint, too
    forget_checkpoints(whole.job.work / "checkpoints", killed_after + 1)
    checkpoint = newest_checkpoint(whole.job.work / "checkpoints")
    assert checkpoint is not None and checkpoint.step == killed_after
    resumed = stopping(looks, save_strategy="steps", save_steps=3)
    resumed.resume(checkpoint)
    assert resumed.state.global_step == whole.state.global_step == 8
    assert weight(resumed) == weight(whole)


def test_no_checkpoint_is_written_where_it_stops(stopping: Stopping) -> None:
    looks = {2: 1.0, 4: 2.0, 6: 2.0}
    trainer = stopping(looks, save_strategy="steps", save_steps=2)
    trainer.train()
    newest = newest_checkpoint(trainer.job.work / "checkpoints")
    assert newest is not None and newest.step == 4  # a resumed training comes to the look again


def test_state_is_json_before_the_first_look_too(stopping: Stopping) -> None:
    trainer = stopping({})
    (early,) = (e for e in trainer.callback_handler.callbacks if isinstance(e, EarlyStopping))
    state = json.loads(json.dumps(early.state_dict(), allow_nan=False))
    early.load_state_dict(state)
    assert early.state_dict() == {"best_loss": None, "worse_looks": 0}


def test_a_loss_that_is_no_number_is_not_the_best(stopping: Stopping) -> None:
    trainer = stopping({2: float("nan"), 4: float("nan")})
    trainer.train()
    assert trainer.state.global_step == 4
    assert not (trainer.job.work / BEST).exists()


def test_ranks_that_adalora_took_away_after_the_best_look_come_back(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    config = AdaLoraConfig(
        init_r=6,
        target_r=2,
        tinit=1,
        tfinal=1,
        total_step=10,
        target_modules=["q_proj"],
        task_type="CAUSAL_LM",
    )
    padded = ("train=preference", "train.speed.packing=false")
    job = make_job(tiny_base, tmp_path, [pair(n) for n in range(10)], *padded)
    early = EarlyStoppingConfig(rows=2, steps=1, patience=9)
    job = with_settings(job, early_stopping=early, max_steps=10, learning_rate=0.1)
    model: Any = get_peft_model(load_base(tiny_base), config)
    trainer = build_trainer(model, job, basic_arguments(job))
    trainer.add_callback(RankAllocation())
    trainer.add_callback(EarlyStopping(job, trainer))
    best: dict[str, Any] = {}
    ids = torch.arange(20)[None]

    class Worse(TrainerCallback):  # type: ignore[misc]
        """Makes the second look the best, and notes what the model answers then."""

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **_: Any) -> None:
            metrics["eval_loss"] = abs(state.global_step - 2)
            if state.global_step == 2:
                best["logits"] = model.eval()(ids).logits

    trainer.callback_handler.callbacks.insert(0, Worse())
    trainer.train()
    assert model.peft_config["default"].rank_pattern is not None
    model.save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(load_base(tiny_base), tmp_path / "adapter")
    torch.testing.assert_close(again.eval()(ids).logits, best["logits"])


def test_looks_do_not_disturb_a_4_bit_training(tiny_nf4_base: BaseModel, tmp_path: Path) -> None:
    def trained(strategy: IntervalStrategy) -> dict[str, torch.Tensor]:
        rows = [pair(number) for number in range(10)]
        job = make_job(tiny_nf4_base, tmp_path, rows, "train=preference", "train.max_steps=4")
        early = EarlyStoppingConfig(rows=2, steps=1, patience=9)
        job = with_settings(job, early_stopping=early, per_device_train_batch_size=2)
        trainer = build_trainer(with_lora(load_base(tiny_nf4_base)), job, basic_arguments(job))
        assert len(trainer.train_dataset) == 8
        trainer.args.eval_strategy = strategy
        trainer.train()
        looks = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
        assert len(looks) == (4 if strategy == IntervalStrategy.STEPS else 0)
        return {n: p.detach().clone() for n, p in trainer.model.named_parameters() if "lora" in n}

    with_looks, without = trained(IntervalStrategy.STEPS), trained(IntervalStrategy.NO)
    assert all(torch.equal(with_looks[name], without[name]) for name in without)
    assert all(value.abs().max() > 0 for value in with_looks.values())  # B has left zero
