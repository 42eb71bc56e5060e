"""Feedback as preference data that the project reads: pairs of answers, and single rated ones.

A pair is an answer that a user wrote (`better`) against the one that was given, or two answers to
the same conversation, one with a thumb up and one with a thumb down. Single answers with their
thumb are rows for KTO. What is no good answer to learn from is left out and counted by its reason.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from loraflow.data.operators.quality import EmptyOrEchoed, Roles
from loraflow.data.read.layouts import convert
from loraflow.data.records import Fault
from loraflow.files import write_lines
from loraflow.serve.traffic.ratings import Said, latest

PAIRS, KTO = "pairs.jsonl", "kto.jsonl"

_ENDED = ("stop", "length")
_WHOLE = "stop"
_CHECKS = (Roles(), EmptyOrEchoed())
_Row = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """What was written, and why other exchanges gave nothing."""

    pairs: int
    up: int  # rows for KTO
    down: int
    left_out: Mapping[str, int]
    pairs_file: Path
    kto_file: Path


@dataclass(frozen=True)
class _Answer:
    """An exchange that something was said of."""

    id: str
    at: float
    asked: str  # its conversation as JSON
    text: str
    finish: str
    said: Said

    @property
    def messages(self) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = json.loads(self.asked)
        return messages


@dataclass(frozen=True)
class _Opinion:
    """What all users together say of one answer to one conversation."""

    answer: _Answer  # the first of those who gave it
    balance: int  # thumbs up minus thumbs down


def export_feedback(table: sqlite3.Connection, out: Path) -> Exported:
    """Write pairs.jsonl and kto.jsonl to the folder `out`; the same log gives the same bytes.

    `out` may name the file of pairs instead (its suffix is .jsonl): the other one then stands
    beside it, as NAME.kto.jsonl.
    """
    left_out: Counter[str] = Counter()
    answers = _usable(_answers(table), left_out)
    pairs, rows = [], []
    for _, group in groupby(sorted(answers, key=_by_conversation), key=lambda one: one.asked):
        alike = list(group)
        opinions = _opinions(alike, left_out)
        pairs += [*_rewritten(alike), *_one_up_one_down(opinions)]
        rows += [_kto(one) for one in opinions if one.balance < 0 or one.answer.finish == _WHOLE]
    pairs = _consistent(_checked(pairs, "preference", left_out), left_out)
    rows = _checked(rows, "kto", left_out)
    pairs_file, kto_file = _files(out)
    _write(pairs_file, pairs)
    _write(kto_file, rows)
    up = sum(row["kto_tag"] for row in rows)
    reasons = {reason: count for reason, count in left_out.most_common() if count}
    return Exported(len(pairs), up, len(rows) - up, reasons, pairs_file, kto_file)


def _files(out: Path) -> tuple[Path, Path]:
    if out.suffix == ".jsonl":
        return out, out.with_suffix(".kto.jsonl")
    return out / PAIRS, out / KTO


def _answers(table: sqlite3.Connection) -> Iterator[_Answer]:
    said = latest(table)
    query = """
    SELECT id, at, messages, answer, finish FROM exchanges
    WHERE id IN (SELECT id FROM ratings) ORDER BY at, id
    """
    for row in table.execute(query):
        found = said[row["id"]]
        if found.rating is not None or found.better.strip():
            asked, text = row["messages"], row["answer"]
            yield _Answer(row["id"], row["at"], asked, text, row["finish"], found)


def _usable(answers: Iterable[_Answer], left_out: Counter[str]) -> Iterator[_Answer]:
    """Leave out what is no answer: it was broken off, failed, or is empty."""
    for answer in answers:
        if answer.finish not in _ENDED:
            left_out[answer.finish] += 1
        elif not answer.text.strip():
            left_out["empty answer"] += 1
        else:
            yield answer


def _by_conversation(answer: _Answer) -> tuple[str, float, str]:
    return answer.asked, answer.at, answer.id


def _opinions(alike: Sequence[_Answer], left_out: Counter[str]) -> list[_Opinion]:
    """Add up the thumbs on equal answers; where they are as many up as down, nothing is known."""
    balance: Counter[str] = Counter()
    first: dict[str, _Answer] = {}
    for answer in alike:
        if answer.said.rating is not None:
            text = answer.text.strip()
            first.setdefault(text, answer)
            balance[text] += 1 if answer.said.rating == "up" else -1
    found = [_Opinion(answer, balance[text]) for text, answer in first.items()]
    left_out["as many thumbs up as down"] += sum(one.balance == 0 for one in found)
    left_out["cut at its limit, thumb up"] += sum(
        one.balance > 0 and one.answer.finish != _WHOLE for one in found
    )
    return [one for one in found if one.balance]


def _rewritten(alike: Sequence[_Answer]) -> Iterator[_Row]:
    """Yield what users wrote against what they were given."""
    for answer in alike:
        if better := answer.said.better.strip():
            yield _pair(answer, better, answer.text)


def _one_up_one_down(opinions: Sequence[_Opinion]) -> Iterator[_Row]:
    """Yield each bad answer against the best good one to the same conversation."""
    good = [one for one in opinions if one.balance > 0 and one.answer.finish == _WHOLE]
    if not good:
        return
    best = max(good, key=lambda one: one.balance)
    for one in opinions:
        if one.balance < 0:
            yield _pair(one.answer, best.answer.text, one.answer.text)


def _pair(answer: _Answer, chosen: str, rejected: str) -> _Row:
    return {
        "prompt": answer.messages,
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "exchange": answer.id,
    }


def _kto(opinion: _Opinion) -> _Row:
    answer = opinion.answer
    said = {"role": "assistant", "content": answer.text}
    return {
        "messages": [*answer.messages, said],
        "kto_tag": opinion.balance > 0,
        "exchange": answer.id,
    }


def _consistent(pairs: Iterable[_Row], left_out: Counter[str]) -> list[_Row]:
    """Keep each pair once, and none whose opposite is there too."""
    found: dict[tuple[str, str, str], _Row] = {}
    for pair in pairs:
        asked = json.dumps(pair["prompt"])
        chosen, rejected = (pair[side][0]["content"].strip() for side in ("chosen", "rejected"))
        if (asked, chosen, rejected) in found:
            left_out["pair that is there already"] += 1
        found.setdefault((asked, chosen, rejected), pair)
    kept = [row for key, row in found.items() if (key[0], key[2], key[1]) not in found]
    left_out["pair whose opposite is there too"] += len(found) - len(kept)
    return kept


def _checked(rows: Iterable[_Row], layout: str, left_out: Counter[str]) -> list[_Row]:
    """Keep what data stages read and keep: conversations in turns, two answers that differ."""
    kept = []
    for row in rows:
        found = convert(row, layout, columns={}, learn_all=False)
        for check in _CHECKS:
            if not isinstance(found, Fault):
                found = check(found)
        if isinstance(found, Fault):
            left_out[f"not {found.threshold}"] += 1
        else:
            kept.append(row)
    return kept


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the rows; who reads them meanwhile sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    write_lines(partial, rows)
    partial.replace(path)
