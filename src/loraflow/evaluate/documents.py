"""Measures raw text: how well the model foretells each document; nothing is generated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loraflow.data.template import IGNORED
from loraflow.evaluate.arm import Arm, HeldOut, Measured
from loraflow.evaluate.likelihood import Foretold, foretell
from loraflow.evaluate.metrics.likelihood import Likelihood
from loraflow.model.tokenizer import Tokenizer

_SHOWN = 300  # characters of a document's beginning in the items


@dataclass
class _Document:
    """A held-out row, its windows joined."""

    id: str
    nats: float = 0.0
    hits: int = 0
    learned: list[int] = field(default_factory=list)  # ids of the tokens that were foretold
    windows: int = 0


def measure_documents(arm: Arm, rows: HeldOut) -> Measured:
    """Return how each document was foretold, its windows joined.

    All tokens that were foretold count, the end of the text among them.
    """
    with arm.model() as model:
        foretold = foretell(model, rows.examples, batch_size=arm.settings.batch_size)
    documents = list(_documents(rows.examples, foretold))
    tokenizer = arm.tokenizer()
    found = Likelihood().compute(
        predictions=[document.nats for document in documents],
        tokens=[len(document.learned) for document in documents],
        bytes=[_bytes(document, tokenizer) for document in documents],
        hits=[document.hits for document in documents],
    )
    items = [
        {
            "id": document.id,
            "text": rows.records[document.id].answer[:_SHOWN],
            "windows": document.windows,
            **numbers,
        }
        for document, numbers in zip(documents, found["items"], strict=True)
    ]
    return Measured(items, {"windows": len(rows.examples)})


def _documents(
    examples: Sequence[Mapping[str, Any]], foretold: Sequence[Foretold]
) -> Iterator[_Document]:
    """Join windows, which stand one behind the other as ID-0, ID-1 and so on."""
    document: _Document | None = None
    for example, window_of in zip(examples, foretold, strict=True):
        name, _, window = example["id"].partition("-")
        if document is not None and window in ("", "0"):
            yield document
            document = None
        document = document or _Document(name)
        document.nats += window_of.nats
        document.hits += window_of.hits
        document.learned += [label for label in example["labels"] if label != IGNORED]
        document.windows += 1
    if document is not None:
        yield document


def _bytes(document: _Document, tokenizer: Tokenizer) -> int:
    text: str = tokenizer.decode(document.learned, skip_special_tokens=True)
    return len(text.encode())
