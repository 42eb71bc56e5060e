"""What is counted for an optimizer equals what it remembers after a step."""

import pytest
import torch
from torch import nn

from loraflow.estimate.optimizer import state_bytes
from loraflow.train.optimizer import create_optimizer
from tests.conftest import composed

OPTIMIZERS = [
    "adamw_torch",
    "adamw_8bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "lion_8bit",
    "paged_lion_32bit",
    "adafactor",
    "sgd",
]
TABLES = ("qmap1", "qmap2")  # what 8 bits stand for: the same for all tensors


@pytest.mark.parametrize("optim", OPTIMIZERS)
def test_bytes_are_those_of_a_real_optimizer(optim: str) -> None:
    model = nn.Sequential(nn.Embedding(100, 64), nn.Linear(64, 100), nn.Linear(100, 3))
    optimizer = create_optimizer(model, composed(f"train.optim={optim}").train)
    model(torch.arange(8)).sum().backward()
    optimizer.step()
    remembered = sum(
        value.nbytes
        for state in optimizer.state.values()
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and name not in TABLES
    )
    counted = sum(
        state_bytes(optim, module, parameter)
        for module in model
        for parameter in module.parameters()
    )
    assert counted == remembered
