"""Stage: a judge rates the answers to held-out rows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from loraflow.data.records import Record
from loraflow.data.tables import read_rows
from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.asking import ask, journal_key
from loraflow.evaluate.judge.base import Exchange, Grade
from loraflow.evaluate.judge.examine import exchanges_of, read_card
from loraflow.evaluate.judge.opening import Bench, usage_of
from loraflow.files import ITEMS, read_lines, write_lines


def grade_answers(
    bench: Bench, *, prepared: Path, evaluated: Path, card: Path, work: Path, out: Path
) -> dict[str, Any]:
    """Write items.jsonl, the rating of each answer in `evaluated`, to `out`; return counts.

    A judgment that fails leaves no rating; how many is in the counts.
    """
    reading, found, _ = read_card(card)
    records = {row.id: row.record for row in read_rows(prepared / "held_out.parquet")}
    items = read_lines(evaluated / ITEMS)
    with bench.judge(reading, found.scale) as judge, Journal(work / "grades.jsonl") as journal:
        asked = {
            journal_key(item["id"], judge.prompt_hash(exchange)): exchange
            for item in items
            if (exchange := _exchange(item, records)) is not None
        }
        grades = ask("judge", asked, journal, judge.grade, Grade)
        usage = usage_of(judge)
    by_id = {exchange.id: grades[key] for key, exchange in asked.items()}
    rows = [{"id": item["id"], **_columns(by_id.get(item["id"]))} for item in items]
    count = write_lines(out / ITEMS, rows)
    failed = Counter(row["judge_failure"] for row in rows if row["judge_failure"])
    return {"counts": {"items": count, **failed}, "metrics": {}, **usage}


def _exchange(item: Mapping[str, Any], records: Mapping[str, Record]) -> Exchange | None:
    exchanges = exchanges_of([(item["id"], records[item["id"]])], 1)
    if not exchanges:
        return None
    (exchange,) = exchanges
    return replace(exchange, answers=(*exchange.answers[:-1], item["answer"]))


def _columns(grade: Grade | None) -> dict[str, Any]:
    if grade is None:
        return {"judge_rating": None, "judge_raw": None, "judge_failure": "not_a_conversation"}
    return {
        "judge_rating": grade.rating,
        "judge_raw": grade.raw,
        "judge_failure": grade.failure,
        "judgment": grade.judgment,
    }
