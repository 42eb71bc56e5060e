"""Folders as `prepare` and `tokenize` leave them, the page made of them, and how to read it."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa

from loraflow.data.records import Fault, Record
from loraflow.data.report.run import report
from loraflow.data.tables import RECORDS, REJECTED, Row, TableWriter, rejection
from loraflow.data.template import IGNORED
from loraflow.files import write_json
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer

TOKENS = pa.schema(
    [("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))]
)
NO_LEAK = {
    "action": "remove",
    "checked_rows": 3,
    "benchmarks": [{"name": "question.jsonl", "questions": 80}],
    "ngram": 13,
    "min_share": 0.7,
    "prompt": 0,
    "ngram_rows": 0,
    "answers_seen": 0,
    "examples": [],
}


def row(line: int, question: str, answer: str, **more: Any) -> Row:
    messages = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    record = Record(messages, **more)
    return Row(record, "a.json", line, record.id)


def set_aside(line: int, operator: str, value: Any, original: str | None = None) -> dict[str, Any]:
    text = original or json.dumps({"instruction": f"问题{line}", "output": "answer"})
    fault = Fault(value, "allowed")
    return rejection(fault, operator=operator, source="a.json", line=line, original=text)


@dataclass
class Data:
    """What the two stages before would have written."""

    base: BaseModel
    train: Sequence[Row] = ()
    held_out: Sequence[Row] = ()
    rejected: Sequence[dict[str, Any]] = ()
    too_long: Sequence[dict[str, Any]] = ()
    edited: dict[str, int] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)  # of prepare's result
    batch_size: int = 2
    max_length: int = 64

    def page(self, folder: Path) -> str:
        """Write all that and return the page made of it."""
        prepared, tokens, out = (folder / name for name in ("prepared", "tokens", "out"))
        for each in (prepared, tokens, out):
            each.mkdir(parents=True)
        write_table(prepared / "rejected.parquet", REJECTED, self.rejected)
        write_table(tokens / "rejected.parquet", REJECTED, self.too_long)
        counts: dict[str, int] = {}
        for side, rows in (("train", self.train), ("held_out", self.held_out)):
            write_table(prepared / f"{side}.parquet", RECORDS, [row.as_columns() for row in rows])
            dropped = {row["line"] for row in self.too_long}
            encoded = [self.encode(row) for row in rows if row.line not in dropped]
            write_table(tokens / f"{side}.parquet", TOKENS, encoded)
            counts |= {f"{side}_rows": len(encoded), f"{side}_cut": 0}
        write_json(tokens / "result.json", {"counts": counts})
        write_json(prepared / "result.json", self.result())
        report(
            prepared=prepared,
            tokens=tokens,
            base=self.base,
            batch_size=self.batch_size,
            max_length=self.max_length,
            out=out,
        )
        return (out / "report.html").read_text(encoding="utf-8")

    def encode(self, row: Row) -> dict[str, Any]:
        """Return the row as tokens."""
        tokenizer = load_tokenizer(self.base)
        prompt = tokenizer(f"<|im_start|>{row.record.prompt[-1]['content']}\n")["input_ids"]
        answer = tokenizer(f"{row.record.answer}<|im_end|>")["input_ids"]
        labels = [IGNORED] * len(prompt) + answer
        return {"id": row.id, "input_ids": prompt + answer, "labels": labels}

    def result(self) -> dict[str, Any]:
        """Return prepare's result."""
        read = len(self.train) + len(self.held_out) + len(self.rejected)
        reasons = Counter(str(row["operator"]) for row in self.rejected)
        funnel, rows = [], read
        for name in dict.fromkeys(["json", *self.edited, *reasons, "leak"]):
            step = {"rows_in": rows, "edited": self.edited.get(name, 0), "rejected": reasons[name]}
            funnel.append({"operator": name, **step})
            rows -= reasons[name]
        return {
            "counts": {
                "read": read,
                "train": len(self.train),
                "held_out": len(self.held_out),
                "unused": 0,
                "rejected": len(self.rejected),
            },
            "funnel": funnel,
            "rejected_by": dict(reasons),
            "sources": [
                {"name": "a.json", "layout": "alpaca", "read": read, "rejected": len(self.rejected)}
            ],
            "edits": [],
            "conflicts": {"prompts": 0, "rows": 0},
            "leak": NO_LEAK,
            "warnings": [],
            **self.changes,
        }


def write_table(path: Path, schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> None:
    with TableWriter.writing(path, schema) as table:
        for start in range(0, len(rows), 2):  # several row groups, as of many rows
            table.add(rows[start : start + 2])


_BLOCKS = ("td", "th", "tr", "dt", "dd", "li", "p", "div", "h2", "h3")


class Outline(HTMLParser):
    """The tags of a page with their attributes, its texts, and its table rows by table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " " if tag in _BLOCKS else ""
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs).get("id") or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._rows and self._rows[-1]:
            self._rows[-1][-1] += data.strip()


def text_of(html: str) -> str:
    """Return the words that a reader sees."""
    return " ".join(Outline(html.partition("</style>")[2]).text.split())


def number(cell: str) -> int:
    return int(re.sub(r"\D", "", cell) or 0)
