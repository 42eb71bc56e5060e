"""Selecting learned positions before the output layer changes nothing but the cost."""

import torch

from loraflow.data.template import IGNORED
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from loraflow.train.loss import answer_losses


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
