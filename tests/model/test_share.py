"""Models around the same weights: what is done to one does not show in another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from loraflow.model.adapter import attach_adapter
from loraflow.model.load import load_base, unpack
from loraflow.model.share import share_weights
from tests.model.ways import adapter, held, logits, train

FORMS = [("none", False), ("nf4", False), ("nf4", True), ("int8", False), ("int8", True)]
METHODS = ("lora", "dora", "ia3", "adalora", "prompt", "prefix", "p_tuning")
PLAIN = (bool, int, float, str, type(None), torch.dtype)


def load(folder: Path, form: tuple[str, bool]) -> Any:
    method, unpacked = form
    model = load_base(held(folder, method))
    return unpack(model) if unpacked else model


def described(model: Any) -> dict[str, Any]:
    """Return all that can be told of a model beside the values of its weights."""
    return {
        "modules": {name: dict(_settings(module)) for name, module in model.named_modules()},
        "parameters": {
            name: (type(value), value.dtype, value.shape, value.requires_grad, value.grad)
            for name, value in model.named_parameters()
        },
        "config": model.config.to_dict(),
        "attention": model.config._attn_implementation,
        "generation": model.generation_config.to_dict(),
    }


def _settings(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield each attribute: plain ones as they are, of others the kind, of hooks the number."""
    for name, value in vars(module).items():
        if "hooks" in name:
            yield name, len(value)
        else:
            yield name, value if isinstance(value, PLAIN) else type(value)


def change_all(model: Any) -> None:
    """Do what trainers do to a model."""
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable()
    model.set_attn_implementation("eager")
    model.config.use_cache = False
    model.generation_config.temperature = 0.5
    model.forward = model.forward  # accelerate puts autocast around it
    model.model.layers[0].register_forward_hook(lambda *_: None)
    model.requires_grad_(False).train()
    del model.model.layers[1]


@pytest.mark.parametrize("form", FORMS)
def test_a_model_around_shared_weights_is_as_if_loaded(
    form: tuple[str, bool], tiny_folder: Path
) -> None:
    fresh, model = load(tiny_folder, form), load(tiny_folder, form)
    for shared in (share_weights(model), share_weights(model)):
        assert described(shared) == described(fresh)
        expected, found = fresh.state_dict(), shared.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert torch.equal(logits(shared), logits(share_weights(model)))
        change_all(shared)


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_in_memory_once(form: tuple[str, bool], tiny_folder: Path) -> None:
    model = load(tiny_folder, form)
    shared = share_weights(model)
    places = {name: value.data_ptr() for name, value in model.named_parameters()}
    assert {name: value.data_ptr() for name, value in shared.named_parameters()} == places
    assert shared.get_output_embeddings().weight is shared.get_input_embeddings().weight


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", [("none", False), ("nf4", False), ("nf4", True)])
def test_training_beside_shared_weights_changes_none(
    form: tuple[str, bool], method: str, tiny_folder: Path
) -> None:
    model = load(tiny_folder, form)
    before = described(model), logits(share_weights(model))
    beside = attach_adapter(
        share_weights(model), adapter(f"adapter={method}"), task="sft", seed=0, total_steps=6
    )
    train(beside)
    assert described(model) == before[0]
    assert torch.equal(logits(share_weights(model)), before[1])


def test_what_is_assigned_to_a_weight_is_the_copys_own(tiny_folder: Path) -> None:
    model = load(tiny_folder, ("none", False))
    shared = share_weights(model)
    for parameter in shared.parameters():
        parameter.data = parameter.data.double()
    shared.model.norm.weight.grad = torch.ones(64).double()
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert model.model.norm.weight.grad is None
