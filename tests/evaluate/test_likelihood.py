"""Losses are the model's own, whatever the batch, and come from the weights that were trained."""

import pytest
import torch

from loraflow.data.template import IGNORED
from loraflow.evaluate.likelihood import foretell
from loraflow.model.load import load_base, load_for_answers
from loraflow.model.source import BaseModel

PROMPTS = [[10, 11, 12, 13, 14, 15], [20, 21], [30, 31, 32], [40]]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_losses_and_hits_equal_the_models_own(tiny_base: BaseModel, batch_size: int) -> None:
    model = load_for_answers(tiny_base, None)
    examples = [
        {"input_ids": [*prompt, 5, 6], "labels": [IGNORED] * len(prompt) + [5, 6]}
        for prompt in PROMPTS
    ]
    for example, found in zip(
        examples, foretell(model, examples, batch_size=batch_size), strict=True
    ):
        ids, labels = (torch.tensor([example[key]]) for key in ("input_ids", "labels"))
        with torch.no_grad():
            own = model(ids, labels=labels)
        assert found.tokens == 2
        assert found.nats / 2 == pytest.approx(float(own.loss), rel=1e-5)
        assert found.hits == int((own.logits[0, -3:-1].argmax(-1) == labels[0, -2:]).sum())


def test_four_bit_base_answers_as_it_was_trained(tiny_nf4_base: BaseModel) -> None:
    """De-quantizing once for a CPU keeps the very weights that training saw."""
    packed, unpacked = load_base(tiny_nf4_base).eval(), load_for_answers(tiny_nf4_base, None)
    ids = torch.tensor([PROMPTS[0]])
    with torch.no_grad():
        torch.testing.assert_close(packed(ids).logits, unpacked(ids).logits, rtol=1e-4, atol=1e-4)
