"""Stage: from records to token ids with the learned positions marked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loraflow.config import TemplateConfig
from loraflow.data.records import Record, from_row
from loraflow.data.template import IGNORED, Example, Template, fit
from loraflow.errors import UserError
from loraflow.files import read_lines, write_lines
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from loraflow.progress import progress

_SCHEMA = pa.schema(
    [("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))]
)


def tokenize(
    template: TemplateConfig, *, max_length: int, prepared: Path, base: BaseModel, out: Path
) -> dict[str, Any]:
    """Write train.parquet, held_out.parquet, too_long.jsonl and preview.txt to `out`.

    Parquet columns: id, input_ids and labels (lists of the same length, IGNORED where nothing
    is learned). A row whose answer alone exceeds `max_length` is set aside in too_long.jsonl.

    Raises:
        UserError: if no training row is left.
    """
    tokenizer = load_tokenizer(base)
    render = Template(template, tokenizer, stop_tokens(base, tokenizer))
    counts: dict[str, int] = {}
    too_long: list[dict[str, Any]] = []
    for name in ("train", "held_out"):
        records = [from_row(row) for row in read_lines(prepared / f"{name}.jsonl")]
        rows = list(_encode(records, render, max_length, too_long))
        counts[f"{name}_cut_prompts"] = sum(row.pop("cut") for row in rows)
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), out / f"{name}.parquet")
        counts |= _count(name, rows, len(records))
        if not rows:
            raise UserError(
                f"train.max_length={max_length} is shorter than every answer of the {name} rows; "
                "raise it"
            )
    write_lines(out / "too_long.jsonl", too_long)
    (out / "preview.txt").write_text(_preview(out / "train.parquet", tokenizer), encoding="utf-8")
    return {"counts": counts}


def read_examples(path: Path) -> list[dict[str, Any]]:
    """Read what `tokenize` wrote: rows of id, input_ids and labels."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def _encode(
    records: list[Record], render: Template, max_length: int, too_long: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    with progress("tokenize", len(records), "rows") as bar:
        for record in records:
            bar.update()
            whole = render.example(record.messages)
            example = fit(whole, max_length)
            if example is None:
                too_long.append({**record.as_row(), "tokens": len(whole.input_ids)})
                continue
            yield {
                "id": record.id,
                "input_ids": example.input_ids,
                "labels": example.labels,
                "cut": example != whole,
            }


def _count(name: str, rows: list[dict[str, Any]], records: int) -> dict[str, int]:
    learned = sum(label != IGNORED for row in rows for label in row["labels"])
    return {
        f"{name}_rows": len(rows),
        f"{name}_too_long": records - len(rows),
        f"{name}_tokens": sum(len(row["input_ids"]) for row in rows),
        f"{name}_learned_tokens": learned,
    }


def _preview(path: Path, tokenizer: Any) -> str:
    """Show the first example as the model reads it, and the part that it learns."""
    row = read_examples(path)[0]
    example = Example(row["input_ids"], row["labels"])
    learned = [label for label in example.labels if label != IGNORED]
    return (
        f"--- what the model reads ---\n{tokenizer.decode(example.input_ids)}\n"
        f"--- what it learns to write ---\n{tokenizer.decode(learned)}\n"
    )
