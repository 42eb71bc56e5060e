"""Stage: one HTML page about an evaluation: what is better, by how much, and how sure that is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loraflow.evaluate.outputs import EvaluationOutputs
from loraflow.evaluate.report.gather import gather
from loraflow.evaluate.report.render import render_evaluation

PAGE = "evaluation.html"


def page(
    outputs: EvaluationOutputs, *, title: str, facts: Sequence[tuple[str, str]], out: Path
) -> dict[str, Any]:
    """Write evaluation.html, which needs no other file and no network, to `out`."""
    html = render_evaluation(gather(outputs, title, facts)).encode("utf-8", "backslashreplace")
    (out / PAGE).write_bytes(html)
    return {"counts": {"bytes": len(html)}, "metrics": {}}
