"""Measures raw text: how well the model foretells each document; nothing is generated."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loraflow.data.template import IGNORED
from loraflow.evaluate.arm import Arm, Measured
from loraflow.evaluate.likelihood import reference_losses
from loraflow.model.tokenizer import Tokenizer, load_tokenizer

_SHOWN = 300  # characters of a document's beginning in the items


@dataclass
class _Document:
    """A held-out row, its windows joined."""

    id: str
    nats: float = 0.0
    learned: list[int] = field(default_factory=list)  # ids of the tokens that were foretold
    windows: int = 0


def measure_documents(arm: Arm) -> Measured:
    """Return the loss in nats a token, its perplexity, and bits a byte.

    Bits a byte compare models with different tokenizers: all tokens that were foretold, the end of
    the text among them, over the bytes of their text.
    """
    losses = reference_losses(arm.load_model(), arm.examples, batch_size=arm.settings.batch_size)
    tokenizer = load_tokenizer(arm.base)
    items = [_item(document, arm, tokenizer) for document in _documents(arm.examples, losses)]
    nats = sum(total for total, _ in losses)
    loss = nats / sum(count for _, count in losses)
    size = sum(item["bytes"] for item in items)
    metrics = {
        "loss": loss,
        "perplexity": math.exp(loss),
        "bits_per_byte": nats / math.log(2) / size,
    }
    return Measured(items, metrics, {"windows": len(arm.examples)})


def _documents(
    examples: Sequence[Mapping[str, Any]], losses: Sequence[tuple[float, int]]
) -> Iterator[_Document]:
    """Join windows, which stand one behind the other as ID-0, ID-1 and so on."""
    document: _Document | None = None
    for example, (nats, _) in zip(examples, losses, strict=True):
        name, _, window = example["id"].partition("-")
        if document is not None and window in ("", "0"):
            yield document
            document = None
        document = document or _Document(name)
        document.nats += nats
        document.learned += [label for label in example["labels"] if label != IGNORED]
        document.windows += 1
    if document is not None:
        yield document


def _item(document: _Document, arm: Arm, tokenizer: Tokenizer) -> dict[str, Any]:
    text: str = tokenizer.decode(document.learned, skip_special_tokens=True)
    size = max(1, len(text.encode()))
    return {
        "id": document.id,
        "text": arm.records[document.id].answer[:_SHOWN],
        "windows": document.windows,
        "loss": document.nats / len(document.learned),
        "tokens": len(document.learned),
        "bits_per_byte": document.nats / math.log(2) / size,
        "bytes": size,
    }
