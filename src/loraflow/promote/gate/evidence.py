"""Gathers what a decision depends on from the folders that the stages of a night leave."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loraflow.data.clean.fingerprints import digest, prompt_text
from loraflow.data.tables import count_rows, read_rows
from loraflow.evaluate.judge.examine import read_card
from loraflow.evaluate.outputs import ArmOutputs
from loraflow.files import ITEMS, read_json, read_lines
from loraflow.promote.gate.decision import (
    ArmEvidence,
    Evidence,
    GateEvidence,
    JudgeEvidence,
    LeakEvidence,
)
from loraflow.promote.gate.gate_set import digest_of
from loraflow.store import RESULT


def gather_evidence(
    champion: ArmOutputs,
    challenger: ArmOutputs,
    *,
    prepared: Path,
    gate: str,
    card: Path | None,
    reference: str,
) -> Evidence:
    """Return the evidence on two arms that were measured on the gate set.

    `prepared` is the output of the stage prepare that the challenger was trained on, `gate` the
    digest of the frozen gate set, `card` the output of the test of the judge, and `reference` says
    who the champion is.
    """
    return Evidence(
        reference,
        _arm(champion),
        _arm(challenger),
        None if card is None else _judge(card, champion, challenger),
        _leak(prepared),
        _gate(prepared, gate),
    )


def _arm(outputs: ArmOutputs) -> ArmEvidence:
    items = read_lines(outputs.evaluate / ITEMS)
    if outputs.grade is not None:
        grades = {row["id"]: row for row in read_lines(outputs.grade / ITEMS)}
        items = [{**item, **grades.get(item["id"], {})} for item in items]
    probes = None
    if outputs.probe is not None:
        probes = tuple(
            {name: row[name] for name in ("id", "kind", "choice_correct")}
            for row in read_lines(outputs.probe / ITEMS)
        )
    inputs = read_json(outputs.evaluate / RESULT)["inputs"]
    settings = {name: inputs[name] for name in ("task", "evaluate")}
    return ArmEvidence(tuple(map(_measures, items)), probes, settings)


def _measures(item: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the numbers of an item, and of its texts what guards need; NaN becomes None."""
    kept = {name: _finite(value) for name, value in item.items() if _is_number(value)}
    found = {name: item[name] for name in ("id", "prompt_id") if name in item} | kept
    if "correct" in item:
        return {**found, "answer": item["answer"], "reference": item["reference"]}
    if "answer" in item:
        found["empty"] = float(not item["answer"].strip())
        found["reference_characters"] = len(item["reference"])
    return found


def _is_number(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, int | float) for one in value)
    return value is None or isinstance(value, int | float)


def _finite(value: Any) -> Any:
    parts = value if isinstance(value, list) else [value]
    return value if all(part is None or math.isfinite(part) for part in parts) else None


def _judge(card: Path, *arms: ArmOutputs) -> JudgeEvidence:
    _, found, file = read_card(card)
    key = read_json(card / RESULT)["key"]
    rated_by = [_reads(arm.grade, "examine") for arm in arms if arm.grade is not None]
    return JudgeEvidence(
        found.judge, found.trusted, bool(file["own"]), all(one == key for one in rated_by)
    )


def _reads(folder: Path, stage: str) -> str | None:
    """Return the key of the output of `stage` that a stage has read."""
    reads: list[tuple[str, str]] = read_json(folder / RESULT)["inputs"]["reads"]
    return dict(reads).get(stage)


def _leak(prepared: Path) -> LeakEvidence:
    """Count what leaks: what was reported and left in, and prompts that stand on both sides."""
    summary = read_json(prepared / RESULT)["leak"]
    found = summary["prompt"] + summary["ngram_rows"]
    asked = {digest(prompt_text(row.record)) for row in read_rows(prepared / "held_out.parquet")}
    left = sum(
        digest(prompt_text(row.record)) in asked for row in read_rows(prepared / "train.parquet")
    )
    if summary["action"] != "remove":
        left = max(left, found)
    return LeakEvidence(summary["action"], found, left)


def _gate(prepared: Path, frozen: str) -> GateEvidence:
    rows = prepared / "held_out.parquet"
    return GateEvidence(frozen, digest_of(rows), count_rows(rows))
