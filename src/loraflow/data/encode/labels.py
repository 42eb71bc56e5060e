"""Encodes texts and their labels for sequence classification: plain text, no chat template."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from loraflow.config import TemplateConfig, TrainConfig
from loraflow.data.encode.base import Encoded, Encoder
from loraflow.data.records import Fault, Record
from loraflow.data.tables import Row, read_batches
from loraflow.data.template import IGNORED
from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer

_LABELS = "labels.json"
_FEWEST = 2


def read_labels(tokens: Path) -> list[str]:
    """Return the labels that the training rows have, sorted: number 0, 1, 2, ... of the model."""
    labels: list[str] = read_json(tokens / _LABELS)
    return labels


class LabelEncoder(Encoder):
    """Encodes what the user says, as the tokenizer by itself does; the label stands beside it.

    A text that is too long is cut from the right, whatever `train.truncation` says but drop. No
    token is learned, so `labels` holds nothing but IGNORED.
    """

    columns = (("label", pa.string()),)
    reasons: ClassVar[Mapping[str, str]] = {
        "max_length": "too_long",
        "nothing_learned": "nothing_learned",
        "not_labelled": "not_labelled",
        "unknown_label": "unknown_label",
    }
    advice: ClassVar[Mapping[str, str]] = {
        "not_labelled": "train.task=classify learns the labels of texts, and no {side} row has "
        "one; set data.layout=classify, and say which columns they are in where they are called "
        'otherwise: "data.columns={{text:review,label:stars}}"',
        "unknown_label": "no {side} row has a label that the training rows have; "
        "set data.split.stratify_by=label",
    }

    def __init__(
        self, template: TemplateConfig, train: TrainConfig, base: BaseModel, tokenizer: Tokenizer
    ) -> None:
        """Take what is needed; a template is not."""
        _ = template, base
        self._tokenizer = tokenizer
        self._tokenizer.truncation_side = "right"
        self._train = train
        self._known: list[str] | None = None  # any label is welcome in a training row

    def encode(self, rows: Sequence[Row]) -> list[Encoded]:
        """Return the tokens of each text and its label."""
        texts = [_text(row.record) for row in rows]
        wholes = self._ids(texts)
        cut = iter(self._ids([texts[at] for at in self._long(wholes)], cut=True))
        return [
            self._judge(row.record, whole, next(cut) if self._is_long(whole) else whole)
            for row, whole in zip(rows, wholes, strict=True)
        ]

    def end_training_side(self, path: Path) -> None:
        """Write the labels of the training rows: a held-out row with another cannot be right.

        Raises:
            UserError: if there is only one, so that nothing can be learned.
        """
        found: set[str] = set()
        for batch in read_batches(path, ["label"]):
            found.update(pc.unique(batch["label"]).to_pylist())
        self._known = sorted(found)
        if len(found) < _FEWEST:
            raise UserError(
                f"train.task=classify needs at least {_FEWEST} labels, and all training rows have "
                f"{self._known[0]!r}; add rows with another one, or choose the column of the "
                'labels: "data.columns={label:COLUMN}"'
            )
        write_json(path.parent / _LABELS, self._known)

    def _judge(self, record: Record, whole: list[int], ids: list[int]) -> Encoded:
        fault = self._fault(record, whole)
        if fault:
            return Encoded(fault=fault, tokens=len(whole))
        example = {"input_ids": ids, "labels": [IGNORED] * len(ids), "label": record.label}
        return Encoded([example], tokens=len(whole), cut=len(ids) < len(whole))

    def _fault(self, record: Record, whole: list[int]) -> Fault | None:
        if record.kind != "classify" or not record.label:
            return Fault(f"kind {record.kind}", "a text and its label", "not_labelled")
        if self._known is not None and record.label not in self._known:
            return Fault(record.label, self._known, "unknown_label")
        if not whole:
            return Fault("no token", "a text", "nothing_learned")
        if self._train.truncation == "drop" and self._is_long(whole):
            return Fault(len(whole), self._train.max_length, "max_length")
        return None

    def _long(self, wholes: Sequence[list[int]]) -> list[int]:
        return [at for at, whole in enumerate(wholes) if self._is_long(whole)]

    def _is_long(self, whole: list[int]) -> bool:
        return len(whole) > self._train.max_length

    def _ids(self, texts: list[str], *, cut: bool = False) -> list[list[int]]:
        """Tokenize; the tokenizer cuts by itself, since its marks at the end have to stay."""
        if not texts:
            return []
        limit = {"truncation": True, "max_length": self._train.max_length} if cut else {}
        ids: list[list[int]] = self._tokenizer(
            texts, return_attention_mask=False, verbose=False, **limit
        )["input_ids"]
        return ids


def _text(record: Record) -> str:
    """Return what the user says; the label stands in the answer."""
    return "\n".join(part["content"] for part in record.messages if part["role"] == "user")
