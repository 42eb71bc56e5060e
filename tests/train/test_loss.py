"""Selecting learned positions before the output layer changes nothing but the cost."""

from typing import Any

import pytest
import torch
from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    PretrainedConfig,
)
from transformers.modeling_outputs import CausalLMOutput

from loraflow.data.template import IGNORED
from loraflow.errors import UserError
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from loraflow.train import loss
from loraflow.train.attention import use_packed_attention
from loraflow.train.loss import answer_losses, require_known_head
from loraflow.train.packing import pack


def batch() -> dict[str, torch.Tensor]:
    """Two rows, the second padded by three tokens."""
    ids = torch.arange(20).reshape(2, 10) + 10
    labels = ids.clone()
    labels[:, :4] = IGNORED
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    labels[1, 7:] = IGNORED
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def test_mean_equals_the_models_own_loss(tiny_base: BaseModel) -> None:
    model = load_base(tiny_base)
    losses, _ = answer_losses(model, batch())
    torch.testing.assert_close(losses.mean(), model(**batch()).loss)


def test_gradients_equal_those_of_the_models_own_loss(tiny_base: BaseModel) -> None:
    ours, theirs = load_base(tiny_base), load_base(tiny_base)
    answer_losses(ours, batch())[0].mean().backward()  # type: ignore[no-untyped-call]
    theirs(**batch()).loss.backward()
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad, msg=name)


def test_each_learned_token_has_a_loss_and_a_row(tiny_base: BaseModel) -> None:
    losses, rows = answer_losses(load_base(tiny_base), batch())
    assert rows.tolist() == [0] * 6 + [1] * 3
    assert losses.shape == (9,)


def test_padding_is_ignored(tiny_base: BaseModel) -> None:
    model, padded = load_base(tiny_base), batch()
    alone = {name: tensor[1:, :7] for name, tensor in padded.items()}
    losses, rows = answer_losses(model, padded)
    torch.testing.assert_close(losses[rows == 1], answer_losses(model, alone)[0])


def packed() -> dict[str, torch.Tensor]:
    """The same rows as `batch`, without padding."""
    rows = batch()
    kept = rows["attention_mask"].bool()
    return pack(
        [
            (ids[mask].tolist(), labels[mask].tolist())
            for ids, labels, mask in zip(rows["input_ids"], rows["labels"], kept, strict=True)
        ]
    )


def test_packed_rows_have_the_losses_of_padded_rows(tiny_base: BaseModel) -> None:
    model = load_base(tiny_base)
    padded = answer_losses(model, batch())
    assert use_packed_attention(model, [[1, 2, 3], [4, 5]], dtype=torch.float32)
    for ours, theirs in zip(answer_losses(model, packed()), padded, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_chunks_of_a_frozen_output_layer_change_no_gradient(
    chunk: int, tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "_CHUNK", chunk)
    weights = torch.rand(9)
    gradients = []
    for compute in (_ours, _plain):
        model = load_base(tiny_base).requires_grad_(False)
        matrix = model.model.layers[0].mlp.down_proj.weight.requires_grad_()
        (compute(model) * weights).sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(matrix.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def _ours(model: Any) -> torch.Tensor:
    return answer_losses(model, batch())[0]


def _plain(model: Any) -> torch.Tensor:
    rows = batch()
    logits = model(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"]).logits
    learned = rows["labels"][:, 1:] != IGNORED
    return torch.nn.functional.cross_entropy(
        logits[:, :-1][learned], rows["labels"][:, 1:][learned], reduction="none"
    )


def test_a_batch_that_teaches_nothing_has_no_losses(tiny_base: BaseModel) -> None:
    rows = batch()
    rows["labels"][:] = IGNORED
    losses, of = answer_losses(load_base(tiny_base), rows)
    assert losses.shape == of.shape == (0,)


@pytest.mark.parametrize("kind", [PromptTuningConfig, PrefixTuningConfig, PromptEncoderConfig])
def test_learned_vectors_before_the_text_count_and_are_not_scored(
    kind: Any, tiny_base: BaseModel
) -> None:
    torch.manual_seed(0)
    model = get_peft_model(load_base(tiny_base), kind(task_type="CAUSAL_LM", num_virtual_tokens=3))
    losses, rows = answer_losses(model, batch())
    assert rows.tolist() == [0] * 6 + [1] * 3
    losses.mean().backward()  # type: ignore[no-untyped-call]
    trained = [value for value in model.parameters() if value.requires_grad]
    assert all(value.grad is not None and value.grad.any() for value in trained[:1])
    with model.disable_adapter():
        without, _ = answer_losses(load_base(tiny_base), batch())
    assert not torch.allclose(losses, without)


SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**SMALL, final_logit_softcapping=0.1),
        GraniteConfig(**SMALL, logits_scaling=8.0),
        CohereConfig(**SMALL, logit_scale=0.0625),
        GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=4),
    ],
    ids=lambda config: config.model_type,
)
def test_what_comes_behind_the_output_layer_is_repeated(config: PretrainedConfig) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    require_known_head(model)
    losses, _ = answer_losses(model, batch())
    torch.testing.assert_close(losses.mean(), model(**batch()).loss)


def test_an_unknown_output_layer_is_refused(
    tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_base(tiny_base)
    own = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **inputs: CausalLMOutput(logits=own(**inputs).logits * 3)
    )
    with pytest.raises(UserError, match="output layer of LlamaForCausalLM"):
        require_known_head(model)
