"""Stage: multiple choice on what tuning did not touch, to see what it makes a model forget."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from loraflow.compare.aggregate import aggregate
from loraflow.evaluate.arm import Arm
from loraflow.evaluate.options import choose
from loraflow.files import ITEMS, read_lines, write_lines

VERSION = 1  # of the probes: raise it when a question changes


def probe(arm: Arm, *, out: Path) -> dict[str, Any]:
    """Write items.jsonl, which option the model finds likeliest, to `out`; return the metrics."""
    probes = [row for language in arm.settings.probes for row in read_probes(language)]
    with arm.model() as model:
        chosen = choose(
            arm,
            model,
            [[{"role": "user", "content": row["question"]}] for row in probes],
            [row["choices"] for row in probes],
            [row["answer"] for row in probes],
        )
    items = [{**row, **found} for row, found in zip(probes, chosen, strict=True)]
    count = write_lines(out / ITEMS, items)
    metrics = {name: found.value for name, found in aggregate(_scores(items)).items()}
    return {"counts": {"items": count}, "metrics": metrics}


def read_probes(language: str) -> list[dict[str, Any]]:
    """Return the probes that ship: id, kind, question, choices, and the place of the right one."""
    folder = files("loraflow.evaluate.probes")
    return read_lines(Path(str(folder / f"{language}.jsonl")))


def _scores(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out `answer`, which is a place here and a text elsewhere."""
    return [{name: value for name, value in item.items() if name != "answer"} for item in items]
