"""Every row gets one side, and a removed one the reason of the operator that removed it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.config import DataConfig
from loraflow.data.clean.gather import Gathered, gather
from loraflow.data.judge.verdicts import (
    HELD_OUT_SIDE,
    REMOVED,
    TRAIN,
    UNUSED,
    Judged,
    Verdicts,
    judge,
)
from loraflow.data.records import Fault
from loraflow.data.tables import REJECTED, TableWriter
from tests.data.sources import file_data, on_any_machine, write_rows

Operators = dict[str, dict[str, Any] | None]

LONG = "患者因胸痛于夜间入院值班医生立即给予止痛治疗并安排心电监护密切观察病情变化直至清晨" * 3
EXACT: Operators = {"exact_duplicates": {}}
NEAR: Operators = {"near_duplicates": {"threshold": 0.8, "ngram": 5}}
CONFLICT: Operators = {"conflicting_answers": {"max_answers": 1}}


def row(question: str, answer: str) -> dict[str, str]:
    return {"instruction": question, "output": answer}


def judged(folder: Path, rows: list[Any], operators: Operators, *overrides: str) -> "Outcome":
    path = write_rows(folder / "a.jsonl", rows)
    return Outcome(replace(file_data(path, *overrides), clean=operators), folder)


class Outcome:
    """What judging made of the rows of a config's sources."""

    def __init__(self, data: DataConfig, folder: Path) -> None:
        with TableWriter.writing(folder / "rejected.parquet", REJECTED) as rejected:
            self.gathered: Gathered = gather(data, rejected=rejected, scratch=folder)
        self.judged: Judged = judge(data, self.gathered)
        self.removed: list[int] = np.flatnonzero(self.judged.side == REMOVED).tolist()
        verdicts = Verdicts(self.judged, self.gathered)
        self.faults: list[Fault] = [verdicts.fault(number) for number in self.removed]

    def count(self, side: int) -> int:
        return int((self.judged.side == side).sum())


def test_exact_duplicate_names_the_row_that_stays(tmp_path: Path) -> None:
    outcome = judged(tmp_path, [row("q", "a"), row("r", "b"), row("q", "a")], EXACT)
    assert outcome.removed == [2]
    assert outcome.faults == [
        Fault({"same_as": "a.jsonl line 1"}, "one of each", operator="exact_duplicates")
    ]


def test_near_duplicate_tells_how_near(tmp_path: Path) -> None:
    rows = [row("病历", LONG), row("q", "a"), row("病历", f"{LONG}完")]
    outcome = judged(tmp_path, rows, NEAR)
    (fault,) = outcome.faults
    assert (fault.operator, fault.threshold) == ("near_duplicates", {"threshold": 0.8, "ngram": 5})
    assert fault.value["same_as"] == "a.jsonl line 1"
    assert 0.8 <= fault.value["similarity"] < 1


def test_conflicting_answer_names_the_first_row_of_its_prompt(tmp_path: Path) -> None:
    rows = [row("p", "a"), row("q", "a"), row("Q?", "b"), row("q", "a!")]
    outcome = judged(tmp_path, rows, CONFLICT)
    assert outcome.removed == [2]
    assert outcome.faults == [
        Fault({"same_as": "a.jsonl line 2"}, {"max_answers": 1}, operator="conflicting_answers")
    ]


def test_leak_names_what_is_given_away(tmp_path: Path) -> None:
    held_out = write_rows(tmp_path / "test.jsonl", [row("q", "a")])
    overrides = [f"data.split.held_out_path={held_out}"]
    outcome = judged(tmp_path, [row("q", "b"), row("r", "c")], {}, *overrides)
    (fault,) = outcome.faults
    assert (fault.operator, fault.threshold) == ("leak", "nothing shared")
    assert fault.value["how"] == "prompt"
    assert outcome.judged.removed_by() == {"leak": 1}


def test_a_row_is_removed_by_the_first_operator_that_finds_it(tmp_path: Path) -> None:
    rows = [row("病历", LONG), row("病历", LONG), row("病历", f"{LONG}完")]
    both = {**EXACT, **NEAR, **CONFLICT}
    assert judged(tmp_path, rows, both).judged.removed_by() == {
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "conflicting_answers": 0,
        "leak": 0,
    }
    other_way_round = {**NEAR, **EXACT}
    assert judged(tmp_path, rows, other_way_round).judged.removed_by() == {
        "near_duplicates": 2,
        "exact_duplicates": 0,
        "leak": 0,
    }


def test_reported_leak_removes_nothing(tmp_path: Path) -> None:
    held_out = write_rows(tmp_path / "test.jsonl", [row("q", "a")])
    overrides = [f"data.split.held_out_path={held_out}", "data.leak.action=report"]
    outcome = judged(tmp_path, [row("q", "b"), row("r", "c")], {}, *overrides)
    assert list(outcome.judged.leaks) == [1]
    assert outcome.judged.removed_by() == {"leak": 0}
    assert outcome.judged.side.tolist() == [HELD_OUT_SIDE, TRAIN, TRAIN]


def test_training_row_that_copies_a_held_out_row_is_the_one_to_go(tmp_path: Path) -> None:
    held_out = write_rows(tmp_path / "test.jsonl", [row("q", "a"), row("r", "b")])
    overrides = [f"data.split.held_out_path={held_out}"]
    outcome = judged(tmp_path, [row("s", "c"), row("q", "a")], EXACT, *overrides)
    assert outcome.judged.side.tolist() == [HELD_OUT_SIDE, HELD_OUT_SIDE, TRAIN, REMOVED]
    assert outcome.faults[0].value == {"same_as": "test.jsonl line 1"}


def test_rows_beyond_the_limit_are_unused(tmp_path: Path) -> None:
    rows = [row(f"q{number}", "a") for number in range(9)]
    outcome = judged(tmp_path, rows, {}, "data.train_rows=5", "data.split.held_out_rows=2")
    sides = [outcome.count(side) for side in (TRAIN, HELD_OUT_SIDE, UNUSED, REMOVED)]
    assert sides == [5, 2, 2, 0]


def test_conflicts_are_counted_among_the_rows_that_stay(tmp_path: Path) -> None:
    rows = [row("q", "a"), row("q", "b"), row("q", "a"), row("r", "c")]
    assert judged(tmp_path, rows, EXACT).judged.conflicts == {"prompts": 1, "rows": 2}


@pytest.mark.parametrize("operators", [{}, {**EXACT, **NEAR, **CONFLICT}])
def test_no_rows_are_judged_without_a_fault(tmp_path: Path, operators: Operators) -> None:
    outcome = judged(tmp_path, [5, {}], operators)
    assert (len(outcome.judged.side), outcome.judged.conflicts) == (0, {"prompts": 0, "rows": 0})


few = st.sampled_from(["a", "b", "c", LONG, f"{LONG}完"])


@on_any_machine
@given(
    rows=st.lists(st.builds(row, few, few), max_size=12),
    train=st.sampled_from(["null", "2"]),
    order=st.permutations(["exact_duplicates", "near_duplicates", "conflicting_answers"]),
)
def test_every_row_has_one_side_and_every_removed_row_a_reason(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], train: str, order: list[str]
) -> None:
    operators = {name: {**EXACT, **NEAR, **CONFLICT}[name] for name in order}
    folder = tmp_path_factory.mktemp("rows")
    overrides = [f"data.train_rows={train}", "data.split.held_out_rows=2"]
    outcome = judged(folder, [*rows, row("last", "row")], operators, *overrides)
    assert len(outcome.judged.side) == len(rows) + 1
    assert sum(outcome.judged.removed_by().values()) == len(outcome.removed)
    assert {fault.operator for fault in outcome.faults} <= {*order, "leak"}
