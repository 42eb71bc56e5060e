"""Stage: from records to token ids, as the task wants them, with the learned positions marked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from loraflow.config import TemplateConfig, TrainConfig
from loraflow.data.encode.answers import AnswerEncoder, DocumentEncoder
from loraflow.data.encode.base import Encoder
from loraflow.data.encode.labels import LabelEncoder
from loraflow.data.encode.pairs import PairEncoder
from loraflow.data.encode.write import SideWriter
from loraflow.data.tables import REJECTED, TableWriter, read_batches
from loraflow.data.template import IGNORED
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer

_ENCODERS: dict[str, Callable[[TemplateConfig, TrainConfig, BaseModel, Tokenizer], Encoder]] = {
    "sft": AnswerEncoder,
    "text": DocumentEncoder,
    "preference": PairEncoder,
    "classify": LabelEncoder,
}


def tokenize(
    template: TemplateConfig, train: TrainConfig, *, prepared: Path, base: BaseModel, out: Path
) -> dict[str, Any]:
    """Write train.parquet, held_out.parquet, rejected.parquet and preview.txt to `out`.

    Both sides have the columns id, input_ids and labels (lists of the same length, IGNORED where
    nothing is learned). A pair of answers has rejected_ids and rejected_labels besides; a text to
    classify has its label, and labels.json lists those of the training rows. The windows of a long
    text are called ID-0, ID-1 and so on. Rows that `train.task` cannot learn from, that the
    template cannot show, or that cannot be cut to `train.max_length` are in rejected.parquet.

    Raises:
        UserError: if no row of a side is left, or raw text meets a template for conversations.
    """
    tokenizer = load_tokenizer(base)
    encoder = _ENCODERS[train.task](template, train, base, tokenizer)
    counts: dict[str, int] = {}
    with TableWriter.writing(out / "rejected.parquet", REJECTED) as rejected:
        for side in ("train", "held_out"):
            writer = SideWriter(side, encoder, train, template_name=template.name)
            tally = writer.write(prepared / f"{side}.parquet", out, rejected)
            counts |= {f"{side}_{name}": count for name, count in tally.items()}
            if side == "train":
                encoder.end_training_side(out / "train.parquet")
    (out / "preview.txt").write_text(_preview(out / "train.parquet", tokenizer), encoding="utf-8")
    return {"counts": counts}


def read_examples(path: Path) -> list[dict[str, Any]]:
    """Read what `tokenize` wrote: rows of id, input_ids, labels, and the columns of the task."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def _preview(path: Path, tokenizer: Tokenizer) -> str:
    """Show the first example as the model reads it, and the part that it learns."""
    row = next(read_batches(path, rows=1)).to_pylist()[0]
    shown = {
        "what the model reads": tokenizer.decode(row["input_ids"]),
        "what it learns to write": _learned(row, "labels", tokenizer),
        "what it learns not to write": _learned(row, "rejected_labels", tokenizer),
        "the label that it learns": row.get("label", ""),
    }
    return "".join(f"--- {title} ---\n{text}\n" for title, text in shown.items() if text)


def _learned(row: dict[str, Any], column: str, tokenizer: Tokenizer) -> str:
    learned = [label for label in row.get(column, []) if label != IGNORED]
    text: str = tokenizer.decode(learned)
    return text
