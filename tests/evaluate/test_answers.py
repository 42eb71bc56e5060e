"""An answer and its loss depend on the item, not on the batch it is in."""

import pytest
import torch

from loraflow.data.template import IGNORED
from loraflow.evaluate.generate import Answer, generate_answers
from loraflow.evaluate.likelihood import reference_losses
from loraflow.model.load import CausalLM, load_base, load_for_answers
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer

PROMPTS = [[10, 11, 12, 13, 14, 15], [20, 21], [30, 31, 32], [40]]


@pytest.fixture
def model(tiny_base: BaseModel) -> CausalLM:
    return load_for_answers(tiny_base, None)


@pytest.fixture
def tokenizer(tiny_base: BaseModel) -> Tokenizer:
    return load_tokenizer(tiny_base)


def answers(
    model: CausalLM, tokenizer: Tokenizer, prompts: list[list[int]], batch_size: int
) -> list[str]:
    written = generate_answers(
        model,
        tokenizer,
        prompts,
        max_new_tokens=8,
        batch_size=batch_size,
        stop=[tokenizer.eos_token_id],
    )
    return [answer.text for answer in written]


def test_answers_come_in_the_order_of_the_prompts(model: CausalLM, tokenizer: Tokenizer) -> None:
    together = answers(model, tokenizer, PROMPTS, 4)
    alone = [answers(model, tokenizer, [prompt], 1)[0] for prompt in PROMPTS]
    assert together == alone
    assert len(set(together)) > 1


def test_generation_ends_at_a_stop_token(model: CausalLM, tokenizer: Tokenizer) -> None:
    with torch.inference_mode():
        first = int(model(torch.tensor([PROMPTS[1]])).logits[0, -1].argmax())
    stopped = generate_answers(
        model, tokenizer, [PROMPTS[1]], max_new_tokens=8, batch_size=1, stop=[first]
    )
    text = tokenizer.decode([first], skip_special_tokens=True).strip()
    assert stopped == [Answer(text, ended=True)]


def test_losses_equal_the_models_own_whatever_the_batch(model: CausalLM) -> None:
    examples = [
        {"input_ids": [*prompt, 5, 6], "labels": [IGNORED] * len(prompt) + [5, 6]}
        for prompt in PROMPTS
    ]
    for batch_size in (1, 3):
        losses = reference_losses(model, examples, batch_size=batch_size)
        for example, (total, count) in zip(examples, losses, strict=True):
            ids, labels = (torch.tensor([example[key]]) for key in ("input_ids", "labels"))
            assert total / count == pytest.approx(float(model(ids, labels=labels).loss), rel=1e-5)


def test_four_bit_base_answers_as_it_was_trained(tiny_nf4_base: BaseModel) -> None:
    """De-quantizing once for a CPU keeps the very weights that training saw."""
    packed, unpacked = load_base(tiny_nf4_base).eval(), load_for_answers(tiny_nf4_base, None)
    ids = torch.tensor([PROMPTS[0]])
    with torch.no_grad():
        torch.testing.assert_close(packed(ids).logits, unpacked(ids).logits, rtol=1e-4, atol=1e-4)
