"""A training whose base was lent ends as one that loads its own, to the bit."""

import gc
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from loraflow.files import read_json
from loraflow.model import lend
from loraflow.model.lend import ModelLender
from loraflow.model.load import load_base, load_for_answers
from loraflow.model.source import BaseModel
from loraflow.train import run
from loraflow.train.attempts import run_attempts
from loraflow.train.divergence import Watch
from loraflow.train.job import Job
from loraflow.train.run import train
from loraflow.train.trainer import StageTrainer
from tests.train.test_resume import Killed, break_off, same_adapter
from tests.train.trainings import settings, train_rows, write_rows

STEPS = "train.max_steps=3"
SOON = "train.checkpoint.steps=1"
UNCHANGED_BASE = {  # one after the other
    "lora": ["adapter.r=4"],
    "dora": ["adapter=dora", "adapter.r=2", "adapter.target_modules=all_linear"],
    "ia3": ["adapter=ia3", "adapter.dropout=0"],
    "adalora": ["adapter=adalora", "adapter.r=2"],
    "prompt": ["adapter=prompt", "adapter.dropout=0"],
    "prefix": ["adapter=prefix", "adapter.dropout=0"],
    "p_tuning": ["adapter=p_tuning", "adapter.dropout=0"],
    "lora again": ["adapter.r=8", "adapter.target_modules=[v_proj,down_proj]"],
}
CHANGED_BASE = {
    "pissa": ["adapter=pissa", "quantization=none"],
    "olora": ["adapter.init_lora_weights=olora", "quantization=none"],
    "full": ["adapter=full", "adapter.dropout=0", "quantization=none"],
}
IDS = torch.arange(10, 22)[None]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "tokens")


@pytest.fixture(params=["tiny_base", "tiny_nf4_base"])
def base(request: pytest.FixtureRequest) -> BaseModel:
    found: BaseModel = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[BaseModel]:
    """What the lender has loaded so far."""
    bases: list[BaseModel] = []

    def counting(base: BaseModel) -> Any:
        bases.append(base)
        return load_base(base)

    monkeypatch.setattr(lend, "load_base", counting)
    return bases


def logits(model: Any) -> Tensor:
    with torch.inference_mode():
        found: Tensor = model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
        return found.clone()


def lent_logits(lender: ModelLender, base: BaseModel, trained: Path | None = None) -> Tensor:
    with lender.lend(base, trained) as model:
        return logits(model)


def test_trainings_one_after_the_other_end_as_alone(
    base: BaseModel, tokens: Path, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    lender = ModelLender()
    for name, overrides in UNCHANGED_BASE.items():
        warm, cold = tmp_path / "warm" / name, tmp_path / "cold" / name
        train_rows(base, tokens, warm, STEPS, *overrides, lender=lender)
        train_rows(base, tokens, cold, STEPS, *overrides)
        assert same_adapter(warm, cold), name
        assert torch.equal(
            lent_logits(lender, base, warm), lent_logits(ModelLender(), base, cold)
        ), name
    assert torch.equal(lent_logits(lender, base), logits(load_for_answers(base, None)))
    assert len(loaded) == 1 + len(UNCHANGED_BASE)  # those of the fresh lenders


def test_the_third_training_ends_as_in_a_process_of_its_own(
    tiny_folder: Path, tiny_nf4_base: BaseModel, tokens: Path, tmp_path: Path
) -> None:
    lender = ModelLender()
    for name in ("dora", "adalora"):
        overrides = UNCHANGED_BASE[name]
        train_rows(tiny_nf4_base, tokens, tmp_path / name, STEPS, *overrides, lender=lender)
    train_rows(tiny_nf4_base, tokens, tmp_path / "warm", STEPS, "adapter.r=4", lender=lender)
    command = [sys.executable, "-m", "tests.train.trainings", str(tiny_folder), str(tokens)]
    command += [str(tmp_path / "cold"), "nf4", "0", STEPS, "adapter.r=4"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert same_adapter(tmp_path / "warm", tmp_path / "cold")


def test_one_loading_serves_training_and_answers(
    base: BaseModel, tokens: Path, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    lender = ModelLender()
    for name in ("first", "second"):
        train_rows(base, tokens, tmp_path / name, STEPS, lender=lender)
        lent_logits(lender, base)
        lent_logits(lender, base, tmp_path / name)
    assert loaded == [base]


def test_a_training_on_a_packed_base_has_it_packed(
    tiny_nf4_base: BaseModel, tokens: Path, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    lender = ModelLender()
    packed = "train.speed.keep_dequantized=false"
    train_rows(tiny_nf4_base, tokens, tmp_path / "unpacked", STEPS, lender=lender)
    train_rows(tiny_nf4_base, tokens, tmp_path / "warm", STEPS, packed, lender=lender)
    assert len(loaded) == 2
    train_rows(tiny_nf4_base, tokens, tmp_path / "cold", STEPS, packed)
    assert same_adapter(tmp_path / "warm", tmp_path / "cold")


@pytest.mark.parametrize("method", CHANGED_BASE)
def test_a_training_that_changes_the_base_has_its_own(
    method: str, tiny_base: BaseModel, tokens: Path, tmp_path: Path
) -> None:
    lender = ModelLender()
    before = lent_logits(lender, tiny_base)
    overrides = [STEPS, *CHANGED_BASE[method]]
    train_rows(tiny_base, tokens, tmp_path / "warm", *overrides, lender=lender)
    train_rows(tiny_base, tokens, tmp_path / "cold", *overrides)
    (warm,), (cold,) = (
        list((tmp_path / name).glob("*/*.safetensors")) for name in ("warm", "cold")
    )
    assert warm.read_bytes() == cold.read_bytes()
    assert torch.equal(lent_logits(lender, tiny_base), before)


def test_a_classifier_is_never_lent(
    base: BaseModel, tokens: Path, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    lender = ModelLender()
    train_rows(base, tokens, tmp_path / "warm", STEPS, "train=classify", lender=lender)
    train_rows(base, tokens, tmp_path / "cold", STEPS, "train=classify")
    assert same_adapter(tmp_path / "warm", tmp_path / "cold")
    assert not loaded


def test_a_training_broken_off_leaves_the_base_whole_and_goes_on_with_it(
    base: BaseModel,
    tokens: Path,
    tmp_path: Path,
    loaded: list[BaseModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lender = ModelLender()
    train_rows(base, tokens, tmp_path / "whole", STEPS, SOON)
    break_off(monkeypatch, step=2)
    with pytest.raises(Killed):
        train_rows(base, tokens, tmp_path / "broken", STEPS, SOON, lender=lender)
    assert torch.equal(lent_logits(lender, base), logits(load_for_answers(base, None)))
    train_rows(base, tokens, tmp_path / "broken", STEPS, SOON, lender=lender)
    assert same_adapter(tmp_path / "whole", tmp_path / "broken")
    assert loaded == [base]


def test_a_training_that_diverges_starts_again_beside_the_same_base(
    base: BaseModel,
    tokens: Path,
    tmp_path: Path,
    loaded: list[BaseModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fault_once(self: Watch, loss: float, norm: float, *, scaled: bool) -> str | None:
        if len(self._losses) < 2:
            return None
        monkeypatch.setattr(Watch, "_fault", own)
        return "it was told to"

    own = Watch._fault
    for name, lender in (("warm", ModelLender()), ("cold", None)):
        monkeypatch.setattr(Watch, "_fault", fault_once)
        again = (STEPS, SOON, "train.divergence.retries=1")
        train_rows(base, tokens, tmp_path / name, *again, lender=lender)
        assert read_json(tmp_path / f"{name}-work" / "halvings.json") == {"halvings": 1}
    assert same_adapter(tmp_path / "warm", tmp_path / "cold")
    assert loaded == [base]


def test_a_training_that_is_pruned_leaves_the_base_whole(
    tiny_base: BaseModel, tokens: Path, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    def prune(name: str, value: float, step: int) -> None:
        if step == 2:
            raise Killed

    lender = ModelLender()
    adapter, training = settings(STEPS)
    job = Job(adapter, training, tiny_base, tokens, None, tmp_path / "work", prune, lender)
    with pytest.raises(Killed):
        train(job, out=tmp_path)
    assert torch.equal(lent_logits(lender, tiny_base), logits(load_for_answers(tiny_base, None)))
    assert loaded == [tiny_base]


def test_nothing_of_a_training_stays_in_memory_with_the_base(
    base: BaseModel, tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainers: list[weakref.ref[StageTrainer]] = []

    def attempts(job: Job) -> StageTrainer:
        trainer: StageTrainer = run_attempts(job)
        trainers.append(weakref.ref(trainer))
        return trainer

    monkeypatch.setattr(run, "run_attempts", attempts)
    lender = ModelLender()
    train_rows(base, tokens, tmp_path / "out", STEPS, lender=lender)
    gc.collect()
    assert [trainer() for trainer in trainers] == [None]
    assert all(value.grad is None for value in lender.share(base, unpacked=True).parameters())


def test_several_processes_are_left_the_memory_of_the_base(
    tiny_base: BaseModel, tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []

    def load(base: BaseModel) -> Any:
        model = load_base(base)
        held.append(weakref.ref(model))
        return model

    monkeypatch.setattr(lend, "load_base", load)
    monkeypatch.setattr(run, "train_together", lambda *_: {"base in memory": held[0]()})
    lender = ModelLender()
    lender.share(tiny_base, unpacked=False)
    adapter, training = settings(STEPS)
    apart = replace(training, processes=2)
    job = Job(adapter, apart, tiny_base, tokens, None, tmp_path, lambda *_: None, lender)
    assert train(job, out=tmp_path) == {"base in memory": None}
