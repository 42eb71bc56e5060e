"""Stage: one model, base or tuned, measured on the held-out rows in the way of its task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from loraflow.compare.aggregate import aggregate
from loraflow.data.tables import read_rows
from loraflow.data.tokenize import read_examples
from loraflow.evaluate.answers import measure_answers
from loraflow.evaluate.arm import Arm, HeldOut, Measured
from loraflow.evaluate.classes import measure_classes
from loraflow.evaluate.documents import measure_documents
from loraflow.evaluate.pairs import measure_pairs
from loraflow.files import ITEMS, write_lines

_MEASURES: dict[str, Callable[[Arm, HeldOut], Measured]] = {
    "sft": measure_answers,
    "text": measure_documents,
    "preference": measure_pairs,
    "classify": measure_classes,
}


def evaluate(arm: Arm, *, task: str, prepared: Path, tokens: Path, out: Path) -> dict[str, Any]:
    """Write items.jsonl, what the model made of each held-out row, to `out`; return the metrics."""
    rows = HeldOut(
        tokens=tokens,
        records={row.id: row.record for row in read_rows(prepared / "held_out.parquet")},
        examples=read_examples(tokens / "held_out.parquet"),
    )
    measured = _MEASURES[task](arm, rows)
    count = write_lines(out / ITEMS, measured.items)
    metrics = {name: found.value for name, found in aggregate(measured.items).items()}
    return {"counts": {"items": count}, "metrics": metrics, **measured.facts}
