"""What single-answer grading and games share: references, failures, and where files are kept."""

from pathlib import Path
from typing import Any, Literal

from loraflow.evaluate.mt_bench.questions import Question, guided
from loraflow.evaluate.mt_bench.rows import file_name

Judgment = dict[str, Any]
"""A row of FastChat's model_judgment files."""
MISSING = "missing_answer"  # a failure of the model, beside the judge's own "call" and "format"
_NO_CALL = "$ERROR$"  # FastChat's judgment after all retries


def judgment_path(folder: Path, judge_name: str, kind: Literal["single", "pair"]) -> Path:
    """Return where FastChat keeps judgments: model_judgment/<judge>_<kind>.jsonl."""
    return folder / "model_judgment" / f"{file_name(judge_name)}_{kind}.jsonl"


def references(question: Question, turn: int) -> tuple[str, ...]:
    """Return the right answers that the judge is shown: to the turns so far, or none."""
    return question.references[:turn] if guided(question) else ()


def failure_of(row: Judgment) -> str:
    """Return why a failed row failed; FastChat's rows tell it only by what the judge wrote."""
    written = [row.get(name) for name in ("judgment", "g1_judgment", "g2_judgment")]
    return row.get("failure") or ("call" if _NO_CALL in written else "format")
