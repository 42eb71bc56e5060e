"""What makes training fast changes neither loss nor gradient: each key against TRL's plain path."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from loraflow.model.source import BaseModel
from loraflow.train.build import build_trainer
from loraflow.train.job import Job
from tests.train.trainings import settings, write_rows

PLAIN = (
    "adapter.dropout=0",
    "train.speed.packing=false",
    "train.speed.learned_positions=false",
    "train.speed.keep_dequantized=false",
    "train.speed.activation_checkpointing=false",
)
FAST = {
    "packing": ["train.speed.packing=true"],
    "learned positions": ["train.speed.learned_positions=true"],
    "kept unpacked": ["train.speed.keep_dequantized=true"],
    "activations twice": ["train.speed.activation_checkpointing=true"],
    "all": [
        "train.speed.packing=true",
        "train.speed.learned_positions=true",
        "train.speed.keep_dequantized=true",
    ],
}


def one_step(base: BaseModel, folder: Path, *overrides: str) -> tuple[float, torch.Tensor]:
    """Return loss and gradient of the first four rows."""
    adapter, training = settings(*PLAIN, *overrides)
    tokens = write_rows(folder / "tokens")
    job = Job(adapter, training, base, tokens, None, folder / "work", lambda *_: None)
    trainer = build_trainer(job)
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(4)])
    learned = int((batch["labels"][:, 1:] != -100).sum())
    trainer.model.train()
    _let_it_do_something(trainer.model)
    loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=learned)
    loss.backward()
    gradients = [
        value.grad.flatten() for value in trainer.model.parameters() if value.grad is not None
    ]
    return float(loss.detach()), torch.cat(gradients)


def _let_it_do_something(model: Any) -> None:
    """With B at zero, as a fresh adapter has it, A would have no gradient to compare."""
    torch.manual_seed(1)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)


@pytest.mark.parametrize("key", FAST)
@pytest.mark.parametrize("held", ["tiny_base", "tiny_nf4_base"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loss_and_gradient_equal_those_of_the_plain_path(
    key: str, held: str, dtype: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base: BaseModel = request.getfixturevalue(held)
    base = replace(base, quantization=replace(base.quantization, compute_dtype=dtype))
    plain_loss, plain = one_step(base, tmp_path)
    loss, gradient = one_step(base, tmp_path, *FAST[key])
    assert abs(loss - plain_loss) < 1e-3
    assert cosine_similarity(gradient, plain, dim=0) > 0.9999
