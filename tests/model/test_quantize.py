"""A 4-bit base stays trainable, whatever ran on it before."""

import torch

from loraflow.config import AdapterConfig
from loraflow.model.adapter import attach_adapter, count_parameters
from loraflow.model.load import CausalLM, load_base
from loraflow.model.source import BaseModel
from loraflow.train.loss import answer_losses

BATCH = {
    "input_ids": torch.arange(24).reshape(2, 12),
    "attention_mask": torch.ones(2, 12, dtype=torch.long),
    "labels": torch.arange(24).reshape(2, 12),
}
ALL_LINEAR = AdapterConfig(4, 8, 0.0, "all-linear")


def gradients(model: CausalLM) -> dict[str, torch.Tensor]:
    """The gradient of every LoRA matrix. B starts at zero, so it is set to make A learn too."""
    model.train()
    model.zero_grad()
    losses, _ = answer_losses(model, BATCH)
    losses.mean().backward()  # type: ignore[no-untyped-call]
    found = {name: value.grad for name, value in model.named_parameters() if "lora_" in name}
    assert all(gradient is not None for gradient in found.values())
    return {name: gradient.clone() for name, gradient in found.items()}


def test_evaluation_leaves_the_gradients_of_every_layer_as_they_were(
    tiny_nf4_base: BaseModel,
) -> None:
    model = attach_adapter(load_base(tiny_nf4_base), ALL_LINEAR, seed=0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.01)
    before = gradients(model)
    model.eval()
    with torch.no_grad():
        answer_losses(model, BATCH)
    model.generate(input_ids=BATCH["input_ids"], max_new_tokens=2, do_sample=False)
    after = gradients(model)
    assert len(before) == 2 * 7 * 2  # A and B, seven matrices, two layers
    assert all(before[name].abs().max() > 0 for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_four_bit_base_is_close_to_the_original(
    tiny_base: BaseModel, tiny_nf4_base: BaseModel
) -> None:
    exact, quantized = load_base(tiny_base), load_base(tiny_nf4_base)
    assert type(quantized.model.layers[0].self_attn.q_proj).__name__ == "Linear4bit"
    weight = quantized.dequantize().model.layers[0].self_attn.q_proj.weight
    original = exact.model.layers[0].self_attn.q_proj.weight
    assert 0 < (weight - original).abs().max() < 0.2 * original.abs().max()


def test_parameters_are_counted_as_values_not_as_packed_bytes(
    tiny_base: BaseModel, tiny_nf4_base: BaseModel
) -> None:
    counts = [
        count_parameters(attach_adapter(load_base(base), ALL_LINEAR, seed=0))
        for base in (tiny_base, tiny_nf4_base)
    ]
    assert counts[0] == counts[1]
    # r * (in + out) of q, k, v, o, gate, up and down, in each of two layers
    shapes = [(64, 64), (64, 32), (64, 32), (64, 64), (64, 128), (64, 128), (128, 64)]
    assert counts[0]["lora_parameters"] == 2 * 4 * sum(map(sum, shapes))
    assert counts[0]["trainable_parameters"] == counts[0]["lora_parameters"]
