"""The gate set is frozen once; a changed one is refused."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loraflow.data.records import Record
from loraflow.data.tables import RECORDS, Row
from loraflow.errors import UserError
from loraflow.promote.gate.gate_set import GateSet, digest_of, freeze_gate, read_gate


def write_held_out(folder: Path, answers: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    records = [
        Record(({"role": "assistant", "content": answer},), kind="text") for answer in answers
    ]
    rows = [
        Row(record, "数据.jsonl", n, record.id).as_columns() for n, record in enumerate(records)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=RECORDS), folder / "held_out.parquet")
    return folder


def freeze(folder: Path, answers: list[str]) -> GateSet:
    prepared = write_held_out(folder / "prepared", answers)
    return freeze_gate(prepared, folder / "gate", asked={"rows": 2, "path": None})


def test_frozen_rows_are_read_back(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, ["好", "坏"])
    assert read_gate(tmp_path / "gate") == frozen
    assert frozen.count == 2
    assert read_gate(tmp_path / "none") is None


def test_digest_follows_from_the_rows_not_from_their_order(tmp_path: Path) -> None:
    one = digest_of(write_held_out(tmp_path / "a", ["好", "坏"]) / "held_out.parquet")
    other = digest_of(write_held_out(tmp_path / "b", ["坏", "好"]) / "held_out.parquet")
    changed = digest_of(write_held_out(tmp_path / "c", ["坏", "好。"]) / "held_out.parquet")
    assert one == other != changed


@pytest.mark.parametrize("change", ["replace", "delete"])
def test_changed_rows_are_refused_with_the_way_out(tmp_path: Path, change: str) -> None:
    gate = freeze(tmp_path, ["好", "坏"])
    gate.rows.unlink()
    if change == "replace":
        (write_held_out(tmp_path / "other", ["好"]) / "held_out.parquet").rename(gate.rows)
    with pytest.raises(UserError, match="restore the file from a backup"):
        read_gate(tmp_path / "gate")


def test_half_a_freeze_is_none(tmp_path: Path) -> None:
    (tmp_path / "gate.partial").mkdir()
    (tmp_path / "gate.partial" / "gate.parquet").write_bytes(b"half")
    assert read_gate(tmp_path / "gate") is None
    freeze(tmp_path, ["好"])
    assert read_gate(tmp_path / "gate") is not None
