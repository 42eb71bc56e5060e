"""Stage: one model, base or tuned, measured on the held-out rows in the way of its task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from loraflow.config import EvaluateConfig
from loraflow.data.tables import read_rows
from loraflow.data.tokenize import read_examples
from loraflow.evaluate.answers import measure_answers
from loraflow.evaluate.arm import Arm, Measured
from loraflow.evaluate.classes import measure_classes
from loraflow.evaluate.documents import measure_documents
from loraflow.evaluate.pairs import measure_pairs
from loraflow.files import ITEMS, write_lines
from loraflow.model.source import BaseModel

_MEASURES: dict[str, Callable[[Arm], Measured]] = {
    "sft": measure_answers,
    "text": measure_documents,
    "preference": measure_pairs,
    "classify": measure_classes,
}


def evaluate(  # noqa: PLR0913 - a stage names all that it reads
    settings: EvaluateConfig,
    *,
    task: str,
    prepared: Path,
    tokens: Path,
    base: BaseModel,
    trained: Path | None,
    out: Path,
) -> dict[str, Any]:
    """Write items.jsonl, what the model made of each held-out row, to `out`; return the metrics.

    `trained` is the output of the stage train; None measures the base as it is.
    """
    arm = Arm(
        settings=settings,
        base=base,
        trained=trained,
        tokens=tokens,
        records={row.id: row.record for row in read_rows(prepared / "held_out.parquet")},
        examples=read_examples(tokens / "held_out.parquet"),
    )
    measured = _MEASURES[task](arm)
    count = write_lines(out / ITEMS, measured.items)
    return {"counts": {"items": count}, "metrics": measured.metrics, **measured.facts}
