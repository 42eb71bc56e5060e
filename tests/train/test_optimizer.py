"""Each optimizer trains, and its state survives a checkpoint to the bit."""

import json
import logging
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from safetensors.torch import load, save
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from loraflow.config import TrainConfig
from loraflow.errors import UserError
from loraflow.train.optimizer import create_optimizer, flatten_state, restore_state
from tests.conftest import composed

NAMES = get_args(get_type_hints(TrainConfig)["optim"])
RATES = {"sgd": 0.3, "lion_8bit": 1e-3, "paged_lion_32bit": 1e-3}


@pytest.fixture(scope="module")
def default() -> TrainConfig:
    return composed().train


def settings_for(name: Any, default: TrainConfig) -> TrainConfig:
    rate = RATES.get(name, 1e-2)
    return replace(default, optim=name, learning_rate=rate, weight_decay=0.01)


def small_model(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Matrices above and below the 4,096 values from which on states have 8 bits."""
    torch.manual_seed(0)
    layers = [nn.Embedding(100, 64), nn.Linear(64, 128), nn.LayerNorm(128), nn.Linear(128, 10)]
    return nn.Sequential(*layers).to(dtype)


def train_steps(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        ids = torch.arange(30) * 3 + step % 2
        loss = nn.functional.cross_entropy(model(ids).float(), ids % 10)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses


def adapted(config: LoraConfig | IA3Config) -> nn.Module:
    llama = LlamaConfig(
        vocab_size=32,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    model: nn.Module = get_peft_model(LlamaForCausalLM(llama), config)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_loss_falls(name: str, default: TrainConfig) -> None:
    model = small_model()
    losses = train_steps(model, create_optimizer(model, settings_for(name, default)), range(20))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_going_on_from_saved_state_equals_never_stopping(
    name: str, dtype: torch.dtype, default: TrainConfig
) -> None:
    settings = settings_for(name, default)
    whole, part, fresh = (small_model(dtype) for _ in range(3))
    train_steps(whole, create_optimizer(whole, settings), range(6))
    stopped = create_optimizer(part, settings)
    train_steps(part, stopped, range(3))
    tensors, rest = flatten_state(stopped)
    on_disk = save(tensors), json.dumps(rest)
    fresh.load_state_dict(part.state_dict())
    optimizer = create_optimizer(fresh, settings)
    restore_state(optimizer, load(on_disk[0]), json.loads(on_disk[1]))
    train_steps(fresh, optimizer, range(3, 6))
    for one, other in zip(whole.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_restored_state_is_the_saved_one(name: str, default: TrainConfig) -> None:
    model, settings = small_model(), settings_for(name, default)
    first, second = create_optimizer(model, settings), create_optimizer(model, settings)
    train_steps(model, first, range(2))
    tensors, rest = flatten_state(first)
    restore_state(second, tensors, json.loads(json.dumps(rest)))
    for one, other in zip(first.param_groups, second.param_groups, strict=True):
        assert one | {"params": None} == other | {"params": None}
    for parameter in model.parameters():
        one, other = first.state[parameter], second.state[parameter]
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert type(value) is type(other[key])
            torch.testing.assert_close(value, other[key], rtol=0, atol=0)


def test_eight_bits_are_kept_for_large_matrices_but_not_for_embeddings(
    default: TrainConfig,
) -> None:
    model = small_model()
    optimizer = create_optimizer(model, settings_for("adamw_8bit", default))
    train_steps(model, optimizer, range(1))
    kept = {name: optimizer.state[p]["state1"].dtype for name, p in model.named_parameters()}
    assert kept["1.weight"] == torch.uint8
    assert kept["0.weight"] == kept["3.weight"] == torch.float32


def test_a_later_training_is_free_of_an_earlier_ones_overrides(default: TrainConfig) -> None:
    settings = settings_for("adamw_8bit", default)
    embedding = small_model()
    train_steps(embedding, create_optimizer(embedding, settings), range(1))
    linear = nn.Linear(64, 64)
    optimizer = create_optimizer(linear, settings)
    linear(torch.ones(1, 64)).sum().backward()
    optimizer.step()
    assert optimizer.state[linear.weight]["state1"].dtype == torch.uint8


def test_parameters_without_gradient_have_no_state(default: TrainConfig) -> None:
    model, settings = small_model(), settings_for("adamw_torch", default)
    optimizer = create_optimizer(model, settings)
    model[1].requires_grad_(False)
    train_steps(model, optimizer, range(1))
    tensors, _ = flatten_state(optimizer)
    again = create_optimizer(small_model(), settings)
    restore_state(again, *flatten_state(optimizer))
    assert flatten_state(again)[0].keys() == tensors.keys()


def test_state_of_another_model_is_refused(default: TrainConfig) -> None:
    settings = settings_for("adamw_torch", default)
    state = flatten_state(create_optimizer(small_model(), settings))
    with pytest.raises(ValueError, match="parameters"):
        restore_state(create_optimizer(nn.Linear(2, 2), settings), *state)


@pytest.mark.parametrize("name", NAMES)
def test_classes_and_defaults_are_those_of_transformers(
    name: str, default: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # so that paged stays paged
    arguments = TrainingArguments("unused", optim=name, learning_rate=0.01, use_cpu=True)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
    model = small_model()
    ours = create_optimizer(model, replace(settings_for(name, default), learning_rate=0.01))
    theirs = kind(model.parameters(), **options)
    assert type(ours) is kind
    assert ours.defaults == theirs.defaults
    assert getattr(ours, "is_paged", None) == getattr(theirs, "is_paged", None)
    assert vars(getattr(ours, "args", default)) == vars(getattr(theirs, "args", default))


def test_weight_decay_spares_what_transformers_spares(default: TrainConfig) -> None:
    model = small_model()
    decayed, spared = create_optimizer(model, settings_for("adamw_torch", default)).param_groups
    theirs = Trainer.get_decay_parameter_names(None, model)
    expected = [value for name, value in model.named_parameters() if name in theirs]
    assert list(map(id, decayed["params"])) == list(map(id, expected))
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_loraplus_makes_b_learn_faster(name: str, default: TrainConfig) -> None:
    model = adapted(LoraConfig(r=4, target_modules=["q_proj"]))
    settings = replace(settings_for(name, default), loraplus_lr_ratio=16.0)
    optimizer = create_optimizer(model, settings)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert optimizer.param_groups[0]["lr"] == settings.learning_rate
    for parameter, value in model.named_parameters():
        if value.requires_grad:
            times = 16 if "lora_B" in parameter else 1
            assert rates[id(value)] == settings.learning_rate * times


def test_loraplus_without_matrices_b_is_refused(default: TrainConfig) -> None:
    ia3 = IA3Config(target_modules=["k_proj"], feedforward_modules=[])
    with pytest.raises(UserError, match=r"train.loraplus_lr_ratio=16 .*adapter.method"):
        create_optimizer(adapted(ia3), replace(default, loraplus_lr_ratio=16.0))


def test_paged_on_a_cpu_is_said_and_not_done(
    default: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "loraflow.train.optimizer"):
        optimizer = create_optimizer(small_model(), settings_for("paged_adamw_32bit", default))
    assert caplog.text.count("pages on a GPU only") == 1
    assert optimizer.is_paged is False  # type: ignore[attr-defined]
