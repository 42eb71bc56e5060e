"""How likely a model finds the reference answers: the held-out loss, item by item."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from loraflow.data.template import IGNORED
from loraflow.model.load import CausalLM
from loraflow.progress import progress
from loraflow.train.loss import learned_logits
from loraflow.train.packing import learned_rows

_TOKENS = 8_192  # of a batch, padding among them


@dataclass(frozen=True)
class Foretold:
    """How a model foretold the learned tokens of an example."""

    nats: float  # summed loss
    tokens: int
    hits: int  # tokens that it found the likeliest


def foretell(
    model: CausalLM, examples: Sequence[Mapping[str, Any]], *, batch_size: int
) -> list[Foretold]:
    """Measure each example (input_ids, labels), in batches of like length."""
    results = [Foretold(0.0, 0, 0)] * len(examples)
    with progress("held-out loss", len(examples), "answers") as bar:
        for batch in _batches([len(example["input_ids"]) for example in examples], batch_size):
            measured = _measure(model, _collate([examples[index] for index in batch], model))
            for index, result in zip(batch, measured, strict=True):
                results[index] = result
            bar.update(len(batch))
    return results


def _batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Group the places of like lengths: `most` rows at most, and so many tokens with padding."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if batch and (len(batch) == most or lengths[place] * (len(batch) + 1) > _TOKENS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@torch.inference_mode()
def _measure(model: CausalLM, batch: dict[str, torch.Tensor]) -> list[Foretold]:
    losses, hits = [], []
    for logits, targets in learned_logits(model, batch):
        losses.append(F.cross_entropy(logits.float(), targets, reduction="none"))
        hits.append(logits.argmax(dim=-1) == targets)
    nats, right, rows = torch.cat(losses), torch.cat(hits), learned_rows(batch)
    return [
        Foretold(
            float(nats[rows == row].sum()), int((rows == row).sum()), int(right[rows == row].sum())
        )
        for row in range(len(batch["labels"]))
    ]


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
