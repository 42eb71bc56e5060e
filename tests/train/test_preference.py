"""Preference training equals TRL's to rounding, and its reference is the model at its start."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from peft import AdaLoraConfig, IA3Config, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from torch.nn.functional import cosine_similarity
from trl import DPOConfig, DPOTrainer

from loraflow.data.template import IGNORED
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from loraflow.train.job import Job
from loraflow.train.preference import LOSSES, PairTrainer, build_trainer
from loraflow.train.reference import FILE
from tests.train.trainers import basic_arguments, make_job, move, pair, with_lora, with_settings

PAIRS = [pair(number) for number in range(8)]
QUICK = ("train=preference", "train.max_steps=3", "train.per_device_train_batch_size=4")


@pytest.fixture
def job(tiny_base: BaseModel, tmp_path: Path) -> Job:
    return make_job(tiny_base, tmp_path, PAIRS, *QUICK, "train.gradient_accumulation_steps=1")


def built(job: Job, model: Any = None) -> PairTrainer:
    model = with_lora(load_base(job.base)) if model is None else model
    return build_trainer(model, job, basic_arguments(job))


def plain(job: Job, **speed: bool) -> Job:
    return with_settings(job, speed=replace(job.settings.speed, **speed))


class TheirTrainer(DPOTrainer):  # type: ignore[misc]
    """TRL's own, on rows that are tokenized already."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def their_trainer(job: Job, model: Any) -> DPOTrainer:
    def answer(ids: list[int], labels: list[int]) -> list[int]:
        return [token for token, label in zip(ids, labels, strict=True) if label != IGNORED]

    rows = [
        {
            "prompt_ids": row["input_ids"][: row["labels"].count(IGNORED)],
            "chosen_ids": answer(row["input_ids"], row["labels"]),
            "rejected_ids": answer(row["rejected_ids"], row["rejected_labels"]),
        }
        for row in PAIRS
    ]
    preference = job.settings.preference
    arguments = DPOConfig(
        **basic_arguments(job), beta=preference.beta, loss_type=[preference.loss_type]
    )
    return TheirTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(job.base),
    )


def loss_and_gradient(trainer: Any) -> tuple[float, torch.Tensor]:
    """Of the first four pairs, with an adapter that has left its start."""
    move(trainer.model, 0.3)
    trainer.model.train()
    batch = trainer.data_collator([trainer.train_dataset[place] for place in range(4)])
    loss = trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))
    loss.backward()
    gradients = [
        value.grad.flatten()
        for name, value in trainer.model.named_parameters()
        if ".default." in name
    ]
    return loss.item(), torch.cat(gradients)


@pytest.mark.parametrize("loss_type", ["sigmoid", "hinge", "ipo"])
@pytest.mark.parametrize(
    "speed", [{}, {"packing": False}, {"learned_positions": False}], ids=["fast", "padded", "plain"]
)
def test_loss_and_gradient_equal_those_of_trl(
    job: Job, loss_type: Any, speed: dict[str, bool]
) -> None:
    job = with_settings(job, preference=replace(job.settings.preference, loss_type=loss_type))
    trainer = built(plain(job, **speed))
    batch = trainer.data_collator(PAIRS[:2])
    assert ("cu_seq_lens_q" in batch) is (not speed)
    ours, our_gradient = loss_and_gradient(trainer)
    theirs, their_gradient = loss_and_gradient(their_trainer(job, with_lora(load_base(job.base))))
    assert ours == pytest.approx(theirs, abs=1e-5, rel=1e-5)
    assert cosine_similarity(our_gradient, their_gradient, dim=0) > 0.9999
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-3, atol=1e-5)
    assert our_gradient.abs().max() > 1e-3


METHODS = {
    "chained": lambda model: with_lora(model, moved=0.3),
    "pissa": lambda model: with_lora(model, init_lora_weights="pissa"),
    "dora": lambda model: with_lora(model, use_dora=True),
    "adalora": lambda model: get_peft_model(
        model, AdaLoraConfig(target_modules=["q_proj"], total_step=10, task_type="CAUSAL_LM")
    ),
    "ia3": lambda model: get_peft_model(
        model,
        IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM"),
    ),
    "prompt": lambda model: get_peft_model(
        model, PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    ),
    "prefix": lambda model: get_peft_model(
        model, PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    ),
    "full": lambda model: model,
}


@pytest.mark.parametrize("method", METHODS)
def test_first_loss_is_ln_2_and_it_falls(job: Job, method: str) -> None:
    model = METHODS[method](load_base(job.base))
    names = [name for name, _ in model.named_parameters()]
    trainer = built(with_settings(job, learning_rate=0.01), model)
    assert [name for name, _ in trainer.model.named_parameters()] == names  # no second adapter
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[-1] < losses[0]


def test_activations_computed_twice_change_nothing(job: Job) -> None:
    def gradient(**more: Any) -> torch.Tensor:
        arguments = basic_arguments(job) | more
        trainer = build_trainer(with_lora(load_base(job.base), moved=0.3), job, arguments)
        trainer.train()
        return torch.cat([p.flatten() for n, p in trainer.model.named_parameters() if "lora" in n])

    twice = {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    }
    torch.testing.assert_close(gradient(**twice), gradient())


def test_a_4_bit_base_starts_at_ln_2_from_an_unrounded_adapter(
    tiny_nf4_base: BaseModel, tmp_path: Path
) -> None:
    job = make_job(tiny_nf4_base, tmp_path, PAIRS, *QUICK)
    model = with_lora(load_base(tiny_nf4_base), moved=0.3)
    before = {name: value.clone() for name, value in model.named_parameters()}
    trainer = built(job, model)
    for name, value in trainer.model.named_parameters():
        assert torch.equal(value, before[name])
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_every_pair_is_trained_on_and_accounted_for(job: Job) -> None:
    trainer = built(with_settings(job, max_steps=2))
    trainer.train()
    read = sum(len(row["input_ids"]) + len(row["rejected_ids"]) for row in PAIRS)
    assert len(trainer.train_dataset) == len(PAIRS)
    assert trainer.tokens_read == read
    assert len(trainer.step_rows) == 4


def test_order_of_rows_does_not_depend_on_how_they_are_computed(job: Job) -> None:
    orders = [
        list(built(one)._get_train_sampler())
        for one in (job, plain(job, learned_positions=False), with_settings(job, processes=2))
    ]
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize("selects", [True, False])
def test_rewards_are_reported_under_our_names(job: Job, selects: bool) -> None:
    trainer = built(plain(with_settings(job, learning_rate=0.05), learned_positions=selects))
    trainer.train()
    last = [entry for entry in trainer.state.log_history if "loss" in entry][-1]
    assert last["train/reward_accuracy"] == 1.0
    assert last["train/reward_margin"] > 0


def test_reference_is_computed_once_and_reused_to_the_bit(job: Job) -> None:
    first = built(job).data_collator.reference
    kept = pq.read_table(job.work / FILE).to_pylist()
    assert {row["id"]: (row["chosen"], row["rejected"]) for row in kept} == first
    moved = with_lora(load_base(job.base), moved=0.3)
    assert built(job, moved).data_collator.reference == first


def test_reference_of_other_rows_is_computed_anew(job: Job, tmp_path: Path) -> None:
    built(job)
    fewer = make_job(job.base, tmp_path, PAIRS[:4], *QUICK)
    assert built(fewer).data_collator.reference.keys() == {row["id"] for row in PAIRS[:4]}


def test_losses_are_those_of_the_papers() -> None:
    margin, beta = torch.tensor([2.0]), 0.5
    assert LOSSES["sigmoid"](margin, beta).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert LOSSES["hinge"](margin / 2, beta).item() == 0.5
    assert LOSSES["ipo"](margin, beta).item() == 1.0
