"""A quantized base is close to the original, and stays trainable whatever ran on it before."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt

from loraflow.config import QuantizationConfig
from loraflow.model.load import load_base, unpack
from loraflow.model.quantize import load_options
from tests.model.ways import IDS, adapter, attach, held, load, logits, loss_of, trained

ALL_LINEAR = adapter("adapter.target_modules=all_linear", "adapter.r=4")


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """The gradient of every LoRA matrix. B starts at zero, so it is set to make A learn too."""
    model.train()
    model.zero_grad()
    loss_of(model).backward()  # type: ignore[no-untyped-call]
    found = {name: value.grad for name, value in trained(model).items()}
    assert all(gradient is not None for gradient in found.values())
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


@pytest.mark.parametrize("method", ["int8", "nf4", "fp4"])
def test_evaluation_leaves_the_gradients_of_every_layer_as_they_were(
    method: str, tiny_folder: Path
) -> None:
    model = attach(held(tiny_folder, method), ALL_LINEAR)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.01)
    before = gradients(model)
    logits(model)
    model.eval()
    model.generate(input_ids=IDS, max_new_tokens=2, do_sample=False)
    after = gradients(model)
    assert len(before) == 2 * 7 * 2  # A and B, seven matrices, two layers
    assert all(before[name].abs().max() > 0 for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("method", "kind", "off"),
    [("int8", Linear8bitLt, 0.01), ("nf4", Linear4bit, 0.2), ("fp4", Linear4bit, 0.25)],
)
def test_quantized_base_is_close_to_the_original(
    method: str, kind: type, off: float, tiny_folder: Path
) -> None:
    exact, quantized = (load_base(held(tiny_folder, held_as)) for held_as in ("none", method))
    assert isinstance(quantized.model.layers[0].self_attn.q_proj, kind)
    weight = quantized.dequantize().model.layers[0].self_attn.q_proj.weight
    original = exact.model.layers[0].self_attn.q_proj.weight
    assert 0 < (weight - original).abs().max() < off * original.abs().max()


def test_gradients_in_eight_bits_are_those_of_the_original(tiny_folder: Path) -> None:
    exact, quantized = (
        torch.cat(
            [
                value.flatten()
                for value in gradients(attach(held(tiny_folder, as_), ALL_LINEAR)).values()
            ]
        )
        for as_ in ("none", "int8")
    )
    assert torch.nn.functional.cosine_similarity(exact, quantized, dim=0) > 0.999


def test_casts_of_eight_bit_products_are_not_reported_each_time(
    tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        logits(load(held(tiny_folder, "int8")))
    assert not [text for text in caplog.messages if "cast" in text]


@pytest.mark.parametrize(("method", "bits"), [("int8", 8), ("nf4", 4), ("fp4", 4)])
def test_options_name_the_quantization(method: Any, bits: int) -> None:
    config = load_options(QuantizationConfig(method, bits == 4, "float32"))["quantization_config"]
    assert (config.load_in_8bit, config.load_in_4bit) == (bits == 8, bits == 4)
    if bits == 4:
        assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == (method, True)


@pytest.mark.parametrize("method", ["nf4", "int8"])
def test_unpacking_rounds_no_position(method: str, tiny_folder: Path) -> None:
    model = load_base(held(tiny_folder, method, "bfloat16"))
    before = model.model.rotary_emb.inv_freq.clone()
    unpacked = unpack(model)
    assert {parameter.dtype for parameter in unpacked.parameters()} == {torch.bfloat16}
    assert torch.equal(unpacked.model.rotary_emb.inv_freq, before)
