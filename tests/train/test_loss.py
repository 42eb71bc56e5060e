"""Selecting learned positions before the output layer changes nothing but the cost."""

import pytest
import torch
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
from loraflow.train.loss import answer_losses, require_known_head


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
