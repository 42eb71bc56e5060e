"""Judges rows against each other: copies, conflicts, leaks, and the side of the split of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loraflow.config import DataConfig
from loraflow.data.clean.fingerprints import Rows
from loraflow.data.clean.gather import Gathered
from loraflow.data.judge.duplicates import (
    Copies,
    conflicting_answers,
    count_conflicts,
    exact_duplicates,
    near_duplicates,
)
from loraflow.data.judge.leak import Leak, check_leaks
from loraflow.data.judge.split import choose_held_out, choose_training
from loraflow.data.operators.sets import ConflictingAnswers, ExactDuplicates, NearDuplicates
from loraflow.data.operators.table import build_set_operators
from loraflow.data.read.sources import HELD_OUT
from loraflow.data.records import Fault

TRAIN, HELD_OUT_SIDE, UNUSED, REMOVED = range(4)


@dataclass
class Judged:
    """What became of every gathered row."""

    side: NDArray[np.int8]  # TRAIN, HELD_OUT_SIDE, UNUSED or REMOVED
    copies: list[tuple[str, Any, Copies]]  # operator, its parameters, what it removed
    leaks: dict[int, Leak]
    conflicts: dict[str, int]
    leak_summary: dict[str, Any]

    def removed_by(self) -> dict[str, int]:
        """Count the removed rows by operator."""
        return {
            **{name: len(copies.rows) for name, _, copies in self.copies},
            "leak": int(sum(self.side[row] == REMOVED for row in self.leaks)),
        }


class Verdicts:
    """Tells why a row was removed."""

    def __init__(self, judged: Judged, gathered: Gathered) -> None:
        """Index the removals by row: 12 bytes a row."""
        rows = len(judged.side)
        self._judged = judged
        self._gathered = gathered
        self._by = np.full(rows, -1, np.int8)
        self._original = np.zeros(rows, np.int32)
        self._similarity = np.zeros(rows, np.float32)
        for number, (_, _, copies) in enumerate(judged.copies):
            self._by[copies.rows] = number
            self._original[copies.rows] = copies.originals
            self._similarity[copies.rows] = copies.similarity

    def fault(self, row: int) -> Fault:
        """Return the reason for which row number `row` was removed."""
        if self._by[row] < 0:
            return Fault(self._judged.leaks[row].as_value(), "nothing shared", operator="leak")
        name, operator, _ = self._judged.copies[self._by[row]]
        value: dict[str, Any] = {"same_as": self._gathered.place(int(self._original[row]))}
        if isinstance(operator, NearDuplicates):
            value["similarity"] = round(float(self._similarity[row]), 3)
        return Fault(value, vars(operator) or "one of each", operator=name)


def judge(data: DataConfig, gathered: Gathered) -> Judged:
    """Apply the set operators of `data.clean` in order, choose held-out rows, look for leaks.

    Raises:
        UserError: if a training row leaks and `data.leak.action` is refuse.
    """
    digests = gathered.digests
    removed: list[tuple[str, Any, Copies]] = []
    rows: Rows = np.arange(len(gathered.line))
    for name, operator in build_set_operators(data.clean):
        copies = _COMPARISONS[type(operator)](operator, gathered, rows)
        removed.append((name, operator, copies))
        rows = np.setdiff1d(rows, copies.rows, assume_unique=True)
    held_out = _held_out(data, gathered, rows)
    others = np.setdiff1d(rows, held_out, assume_unique=True)
    leaks, leak_summary = check_leaks(data, gathered, held_out=held_out, others=others)
    if data.leak.action == "remove":
        others = np.setdiff1d(others, np.array(list(leaks), np.int64), assume_unique=True)
    train = choose_training(
        digests["prompt"],
        gathered.entry,
        others,
        train_rows=data.train_rows,
        weights=data.weights,
        seed=data.split.seed,
    )
    side = np.full(len(gathered.line), REMOVED, np.int8)
    side[others] = UNUSED
    side[train] = TRAIN
    side[held_out] = HELD_OUT_SIDE
    conflicts = count_conflicts(digests["prompt"], digests["answer"], rows)
    answers = digests["answer"]
    leak_summary["answers_seen"] = int(np.isin(answers[held_out], answers[train]).sum())
    return Judged(side, removed, leaks, conflicts, leak_summary)


def _exact(_: ExactDuplicates, gathered: Gathered, rows: Rows) -> Copies:
    return exact_duplicates(gathered.digests["content"], rows)


def _near(operator: NearDuplicates, gathered: Gathered, rows: Rows) -> Copies:
    numbers = gathered.digests["numbers"]
    return near_duplicates(gathered.files, numbers, rows, threshold=operator.threshold)


def _conflicting(operator: ConflictingAnswers, gathered: Gathered, rows: Rows) -> Copies:
    prompt, answer = gathered.digests["prompt"], gathered.digests["answer"]
    return conflicting_answers(prompt, answer, rows, max_answers=operator.max_answers)


_COMPARISONS: dict[type, Callable[[Any, Gathered, Rows], Copies]] = {
    ExactDuplicates: _exact,
    NearDuplicates: _near,
    ConflictingAnswers: _conflicting,
}


def _held_out(data: DataConfig, gathered: Gathered, rows: Rows) -> Rows:
    """Return the rows of the held-out file if there is one, else choose them."""
    if data.split.held_out_path is not None:
        found: Rows = rows[gathered.entry[rows] == HELD_OUT]
        return found
    return choose_held_out(
        gathered.digests["prompt"],
        gathered.digests["stratum"],
        rows,
        held_out_rows=data.split.held_out_rows,
        seed=data.split.seed,
    )
