"""Packed rows give what they give alone; models for which that fails keep their own attention."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from loraflow.train import attention
from loraflow.train.attend import attend
from loraflow.train.attention import NAME, packed_attention, use_packed_attention
from loraflow.train.packing import pack

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
ROWS = [list(range(1, 12)), list(range(20, 29)), [40, 41, 42]]


def model_of(config: PretrainedConfig) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


PACKABLE = [
    LlamaConfig(**SMALL),
    Qwen2Config(**SMALL),
    Qwen3Config(**SMALL),
    MistralConfig(**SMALL, sliding_window=4),
    GPTNeoXConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
    ),
]


@pytest.mark.parametrize("config", PACKABLE, ids=lambda config: config.model_type)
def test_packed_rows_give_the_hidden_states_of_single_rows(config: PretrainedConfig) -> None:
    model = model_of(config)
    alone = [model.base_model(input_ids=torch.tensor([row])).last_hidden_state[0] for row in ROWS]
    assert use_packed_attention(model, ROWS, dtype=torch.float32)
    inputs = {name: value for name, value in pack([(row, row) for row in ROWS]).items()}
    inputs.pop("labels")
    packed = model.base_model(**inputs, use_cache=False).last_hidden_state[0]
    torch.testing.assert_close(packed, torch.cat(alone), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**SMALL, attn_logit_softcapping=1.0),  # asks for a softcap
        MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2),  # has no attention
    ],
    ids=lambda config: config.model_type,
)
def test_a_model_that_cannot_be_packed_is_left_as_it_was(config: PretrainedConfig) -> None:
    model = model_of(config)
    before = model.config._attn_implementation
    assert not use_packed_attention(model, ROWS, dtype=torch.float32)
    assert model.config._attn_implementation == before != NAME


def test_learned_positions_restart_in_gpt2_too() -> None:
    model = model_of(GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=4))
    assert use_packed_attention(model, ROWS, dtype=torch.float32)


def test_training_mode_is_kept() -> None:
    model = model_of(LlamaConfig(**SMALL)).train()
    use_packed_attention(model, ROWS, dtype=torch.float32)
    assert model.training


def test_what_a_kernel_refuses_is_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("FlashAttention only support fp16 and bf16 data type")

    monkeypatch.setattr(attention, "packed_attention", refuse)
    model = model_of(LlamaConfig(**SMALL))
    before = model.config._attn_implementation
    assert not use_packed_attention(model, ROWS, dtype=torch.float32)
    assert model.config._attn_implementation == before


def test_rows_are_compared_in_the_type_that_is_trained_in(monkeypatch: pytest.MonkeyPatch) -> None:
    types = set()

    def note(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        types.add(value.dtype)  # rotating makes query and key float32 again
        return packed_attention(module, query, key, value, mask, **options)

    monkeypatch.setattr(attention, "packed_attention", note)
    assert use_packed_attention(model_of(LlamaConfig(**SMALL)), ROWS, dtype=torch.bfloat16)
    assert types == {torch.bfloat16}


def test_attention_without_bounds_is_an_error_not_a_guess() -> None:
    tensor = torch.zeros(1, 2, 3, 4)
    with pytest.raises(NotImplementedError, match="bounds"):
        packed_attention(None, tensor, tensor, tensor, None)


def test_gradients_of_packed_rows_equal_those_of_single_rows() -> None:
    torch.manual_seed(0)
    parts = [torch.randn(1, 2, size, 4, requires_grad=True) for size in (5, 3)]
    packed = torch.cat(parts, dim=2).detach().requires_grad_()
    bounds = torch.tensor([0, 5, 8])
    packed_attention(None, packed, packed, packed, None, cu_seq_lens_q=bounds)[0].pow(
        2
    ).sum().backward()  # type: ignore[no-untyped-call]
    for part in parts:
        alone = torch.tensor([0, part.shape[2]])
        packed_attention(None, part, part, part, None, cu_seq_lens_q=alone)[0].pow(
            2
        ).sum().backward()  # type: ignore[no-untyped-call]
    assert packed.grad is not None
    gradients = torch.cat([part.grad for part in parts if part.grad is not None], dim=2)
    torch.testing.assert_close(packed.grad, gradients)


def attended(*tensors: torch.Tensor, window: int | None) -> list[torch.Tensor]:
    """Return what attention gives, and its gradients, in float32."""
    own = [tensor.clone().requires_grad_() for tensor in tensors]
    whole = attend(own[0], own[1], own[2], window=window, dropout=0.0, scale=None)
    whole.float().cos().sum().backward()  # type: ignore[no-untyped-call]
    return [whole.float(), *(tensor.grad.float() for tensor in own if tensor.grad is not None)]


@pytest.mark.parametrize("tokens", [1, 2, 77])
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("groups", [1, 3, 9])
def test_plain_products_in_bfloat16_are_as_near_to_float32_as_the_fused_kernel(
    tokens: int, window: int | None, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    sizes = (9, groups, groups)
    tensors = [torch.randn(1, heads, tokens, 16).bfloat16() for heads in sizes]
    exact = attended(*(tensor.float() for tensor in tensors), window=window)
    products = attended(*tensors, window=window)
    monkeypatch.setattr("loraflow.train.attend._SHORT", 0)
    fused = attended(*tensors, window=window)
    for right, one, other in zip(exact, products, fused, strict=True):
        assert one.shape == right.shape
        assert (one - right).norm() <= 3 * (other - right).norm() + 1e-3 * right.norm()
