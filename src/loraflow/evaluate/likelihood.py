"""How likely a model finds the reference answers: the held-out loss, item by item."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from loraflow.data.template import IGNORED
from loraflow.model.load import CausalLM
from loraflow.progress import progress
from loraflow.train.loss import answer_losses


def reference_losses(
    model: CausalLM, examples: Sequence[Mapping[str, Any]], *, batch_size: int
) -> list[tuple[float, int]]:
    """Return for each example the summed loss of its answer, in nats, and its learned tokens."""
    results: list[tuple[float, int]] = [(0.0, 0)] * len(examples)
    order = sorted(range(len(examples)), key=lambda index: len(examples[index]["input_ids"]))
    with progress("held-out loss", len(examples), "answers") as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            with torch.inference_mode():
                losses, rows = answer_losses(model, _collate([examples[i] for i in batch], model))
            for row, index in enumerate(batch):
                of_row = losses[rows == row]
                results[index] = (float(of_row.sum()), of_row.numel())
            bar.update(len(batch))
    return results


def _collate(examples: list[Mapping[str, Any]], model: CausalLM) -> dict[str, torch.Tensor]:
    """Pad on the right; the padding is neither attended to nor scored."""
    ids = [torch.tensor(example["input_ids"]) for example in examples]
    labels = [torch.tensor(example["labels"]) for example in examples]
    mask = [torch.ones_like(row) for row in ids]
    batch = {
        "input_ids": pad_sequence(ids, batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        "attention_mask": pad_sequence(mask, batch_first=True),
    }
    return {name: tensor.to(model.device) for name, tensor in batch.items()}
