"""Makes micro-batches of rows: end to end without padding, or padded as the plain path has it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from loraflow.data.template import IGNORED

Labelled = tuple[list[int], list[int]]
"""input_ids and labels of a row; the first label is never learned."""


def pack(sequences: Sequence[Labelled]) -> dict[str, Any]:
    """Lay sequences end to end: (1, tokens) each of input_ids, labels and position_ids.

    Positions restart with each sequence. The bounds go along under the names that transformers
    hands to every attention function: cu_seq_lens_q and _k (sequences + 1), max_length_q and _k.
    """
    lengths = [len(ids) for ids, _ in sequences]
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    positions = torch.cat([torch.arange(length) for length in lengths])
    return {
        "input_ids": _joined(ids for ids, _ in sequences),
        "labels": _joined([IGNORED, *labels[1:]] for _, labels in sequences),
        "position_ids": positions[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


def pad(sequences: Sequence[Labelled], *, padding: int) -> dict[str, Any]:
    """Pad sequences on the right: (rows, tokens) each of input_ids, attention_mask and labels."""
    ids = [torch.tensor(ids) for ids, _ in sequences]
    labels = [torch.tensor([IGNORED, *labels[1:]]) for _, labels in sequences]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=padding),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
    }


def learned_rows(batch: dict[str, Any]) -> Tensor:
    """Return the row of each learned token, in the order in which `answer_losses` returns them."""
    learned = batch["labels"][:, 1:] != IGNORED
    rows: Tensor
    rows, columns = learned.nonzero(as_tuple=True)
    if "cu_seq_lens_q" not in batch:
        return rows
    # the token predicted at a column stands one further on
    of: Tensor = torch.bucketize(columns + 1, batch["cu_seq_lens_q"][1:], right=True)
    return of


def _joined(rows: Any) -> Tensor:
    return torch.cat([torch.tensor(row) for row in rows])[None]
