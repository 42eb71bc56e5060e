"""What is counted without weights equals what a really built and loaded model takes."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    PretrainedConfig,
    Qwen2Config,
)

from loraflow.config import QuantizationConfig
from loraflow.estimate.shapes import Training, build_model, parameter_bytes, training_of
from loraflow.model.adapter import attach_adapter
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from tests.conftest import composed

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
ARCHITECTURES = [
    LlamaConfig(**SMALL, tie_word_embeddings=False),
    Qwen2Config(**SMALL, tie_word_embeddings=True),
    Gemma2Config(**SMALL),
    GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4),
    MixtralConfig(**SMALL, num_local_experts=4),
]


def lora(architecture: PretrainedConfig, *overrides: str) -> Training:
    config = composed("quantization=none", "quantization.compute_dtype=float32", *overrides)
    return Training(architecture, config.quantization, config.adapter, config.train)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda config: config.model_type)
def test_bytes_are_those_of_a_built_model(architecture: PretrainedConfig) -> None:
    training = lora(architecture, "adapter.target_modules=all_linear")
    real = attach_adapter(
        AutoModelForCausalLM.from_config(architecture), training.adapter, task="sft", seed=0
    )
    counted = parameter_bytes(build_model(training))
    assert counted == (_nbytes(real, trained=False) + _buffers(real), _nbytes(real, trained=True))


@pytest.mark.parametrize(
    ("method", "double"), [("none", False), ("int8", False), ("nf4", False), ("nf4", True)]
)
def test_a_quantized_base_takes_what_a_loaded_one_takes(
    method: Any, double: bool, tiny_base: BaseModel
) -> None:
    base = replace(tiny_base, quantization=QuantizationConfig(method, double, "float32"))
    config = composed("adapter=lora")
    frozen, _ = parameter_bytes(build_model(training_of(base, config.adapter, config.train)))
    model = load_base(base)
    held = sum(
        _held(model.get_submodule(name.rpartition(".")[0]), name, value)
        for name, value in model.named_parameters()
    )
    assert frozen == held + _buffers(model)


def test_an_unpacked_base_takes_as_much_as_one_that_was_never_quantized(
    tiny_base: BaseModel, tiny_nf4_base: BaseModel
) -> None:
    config = composed("adapter=lora")
    plain, packed = (
        training_of(base, config.adapter, config.train) for base in (tiny_base, tiny_nf4_base)
    )
    unpacked = build_model(replace(packed, unpacked=True))
    assert parameter_bytes(unpacked) == parameter_bytes(build_model(plain))


def test_building_draws_no_random_numbers(tiny_base: BaseModel) -> None:
    config = composed("adapter=lora")
    state = torch.random.get_rng_state()
    build_model(training_of(tiny_base, config.adapter, config.train))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_first_values_that_need_weights_change_no_shape(tiny_base: BaseModel) -> None:
    config = composed("adapter=pissa", "quantization=none")
    plain = composed("adapter=lora", "quantization=none")
    built = [
        parameter_bytes(build_model(training_of(tiny_base, one.adapter, one.train)))
        for one in (config, plain)
    ]
    assert built[0] == built[1]


def _nbytes(model: Any, *, trained: bool) -> int:
    return sum(value.nbytes for value in model.parameters() if value.requires_grad == trained)


def _buffers(model: Any) -> int:
    return sum(buffer.nbytes for buffer in model.buffers())


def _held(module: Any, name: str, value: torch.Tensor) -> int:
    """Return the bytes of a loaded parameter and of the constants that go with it."""
    constants: list[torch.Tensor] = []
    if name.endswith(".weight") and isinstance(module, Linear8bitLt):
        constants = [module.weight.SCB]
    if name.endswith(".weight") and isinstance(module, Linear4bit):
        state = module.weight.quant_state
        constants = [state.absmax, state.code]
        if state.nested:
            constants += [state.offset, state.state2.absmax, state.state2.code]
    return value.nbytes + sum(tensor.nbytes for tensor in constants)
