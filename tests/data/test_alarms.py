"""Data that cannot be meant stops the run, before anything starts where that can be seen."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loraflow.data.alarms import check_counts, probe, require_unchanged
from loraflow.data.read.sources import fingerprint
from loraflow.data.records import Fault
from loraflow.data.tables import REJECTED, TableWriter, rejection
from loraflow.errors import UserError
from tests.data.sources import file_data, write_rows

GOOD = [{"instruction": f"第{number}问", "output": f"回答{number}"} for number in range(20)]


def test_usable_file_passes_and_nothing_is_written(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.json", GOOD)
    probe(file_data(path))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("rows", [[], [5], GOOD[:4]])
def test_too_few_rows_are_seen(tmp_path: Path, rows: list[Any]) -> None:
    data = file_data(write_rows(tmp_path / "rows.json", rows), "data.min_train_rows=4")
    with pytest.raises(UserError, match=r"data\.path=.* rows are left .*, and 5 are needed"):
        probe(data)


def test_file_of_another_shape_is_seen_by_its_columns(tmp_path: Path) -> None:
    data = file_data(write_rows(tmp_path / "rows.jsonl", [{"a": 1}] * 50))
    with pytest.raises(UserError, match=r"rows\.jsonl has the columns a, which fit no known"):
        probe(data)


def test_long_file_of_another_layout_is_seen_by_its_head(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{"text": "other"}] * 5_100)
    data = file_data(path, "data.layout=alpaca")
    with pytest.raises(UserError, match=r"0 rows are left .* set aside: schema 5000; the first"):
        probe(data)


def test_long_file_with_a_usable_row_passes(tmp_path: Path) -> None:
    rows = [GOOD[0], *[{"text": "other"}] * 5_100]
    probe(file_data(write_rows(tmp_path / "rows.jsonl", rows), "data.layout=alpaca"))


def test_held_out_rows_are_not_counted_as_training_rows(tmp_path: Path) -> None:
    train, test = (
        write_rows(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", [5]), ("b", GOOD))
    )
    data = file_data(train, f"data.split.held_out_path={test}", "data.layout=alpaca")
    with pytest.raises(UserError, match=r"0 rows are left .* 1 are needed \(data\.min_train_rows"):
        probe(data)


def test_missing_benchmark_is_seen(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.json", GOOD)
    with pytest.raises(UserError, match=r"data\.leak\.benchmarks=nowhere\.jsonl does not exist"):
        probe(file_data(path, "data.leak.benchmarks=[nowhere.jsonl]"))


def test_file_in_another_encoding_is_seen_with_its_first_byte(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", GOOD)
    path.write_bytes(path.read_text(encoding="utf-8").encode("gb18030"))
    match = (
        r"data\.path: rows\.jsonl line 1 is not UTF-8: \"byte 0xb5 at offset 17 of the row\" "
        r"\(20 of 20 rows are not\); convert the file, e\.g\. iconv -f GB18030"
    )
    with pytest.raises(UserError, match=match):
        probe(file_data(path))


def test_a_damaged_row_or_two_pass(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", GOOD)
    path.write_bytes(path.read_bytes() + b"\xff\n\xff\n")
    probe(file_data(path))


def write_rejected(path: Path, *operators: str) -> Path:
    fault = Fault("byte 0xff at offset 3", "UTF-8")
    with TableWriter.writing(path, REJECTED) as table:
        table.add(
            [
                rejection(fault, operator=operator, source="a.jsonl", line=line, original="")
                for line, operator in enumerate(operators, start=1)
            ]
        )
    return path


def counts(**changed: int) -> dict[str, int]:
    """Return counts in which `read` is the sum, unless it is given."""
    parts = {"train": 10, "held_out": 10, "unused": 0, "rejected": 0} | changed
    return {"read": sum(parts.values()), **parts}


def test_lost_row_is_a_bug_and_not_the_users(tmp_path: Path) -> None:
    rejected = write_rejected(tmp_path / "rejected.parquet")
    with pytest.raises(RuntimeError, match="rows were lost"):
        check_counts(file_data("a.jsonl"), counts(read=21), Counter(), rejected)


def test_encoding_is_named_however_late_it_appears(tmp_path: Path) -> None:
    """The first 2,000 rejected rows may all have another fault."""
    operators = [*["schema"] * 2100, *["encoding"] * 400]
    path = write_rejected(tmp_path / "rejected.parquet", *operators)
    with pytest.raises(UserError, match=r"a\.jsonl line 2101 is not UTF-8"):
        check_counts(file_data("a.jsonl"), counts(rejected=2500), Counter(operators), path)


def test_rate_of_a_handful_of_rows_is_no_rate(tmp_path: Path) -> None:
    rejected = write_rejected(tmp_path / "rejected.parquet", *["length"] * 9)
    data = file_data("a.jsonl", "data.max_reject_rate=0.1")
    few = counts(train=5, held_out=5, rejected=9)
    check_counts(data, few, Counter(length=9), rejected)
    with pytest.raises(UserError, match=r"data\.max_reject_rate=0\.1: 9 of 20 rows \(45%\)"):
        check_counts(data, counts(train=6, held_out=5, rejected=9), Counter(length=9), rejected)


def test_reasons_stand_in_order_of_their_number(tmp_path: Path) -> None:
    rejected = write_rejected(tmp_path / "rejected.parquet", *["length"] * 30)
    reasons = Counter(length=10, leak=20, cut_off=0)
    with pytest.raises(UserError, match=r"were set aside \(leak 20, length 10\); the first"):
        data = file_data("a.jsonl", "data.max_reject_rate=0.1")
        check_counts(data, counts(rejected=30), reasons, rejected)


def test_file_that_stays_the_same_is_unchanged(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", GOOD)
    content = fingerprint(file_data(path))
    require_unchanged(file_data(path), content)
    write_rows(path, GOOD[1:])
    with pytest.raises(UserError, match=r"rows\.jsonl changed while it was read.*run the same"):
        require_unchanged(file_data(path), content)
