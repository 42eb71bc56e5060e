"""Rows are found by their places, whatever row groups the file has."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loraflow.data.report.samples import (
    count_values,
    find_places,
    find_rows,
    places_by_value,
    spread,
    take_rows,
)


@pytest.fixture(params=[1, 3, 100])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    table = pa.table(
        {
            "id": [f"id{n}" for n in range(10)],
            "source": ["a line 3.json" if n < 6 else "b.json" for n in range(10)],
            "line": list(range(10)),
            "label": ["x", None, "y", "x", "x", None, None, "y", "x", "x"],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=request.param)
    return tmp_path / "rows.parquet"


def test_rows_are_taken_in_the_order_of_the_file(path: Path) -> None:
    assert take_rows(path, [9, 0, 4, 4], ["line"]) == [{"line": 0}, {"line": 4}, {"line": 9}]
    assert take_rows(path, [], ["line"]) == []


def test_rows_are_found_by_their_place_in_the_source(path: Path) -> None:
    wanted = {"b.json line 7", "a line 3.json line 5", "b.json line 1"}
    found = find_rows(path, wanted, ["id"])
    assert found == {"a line 3.json line 5": {"id": "id5"}, "b.json line 7": {"id": "id7"}}
    assert find_rows(path, set(), ["id"]) == {}


def test_sources_are_found_by_id(path: Path) -> None:
    assert find_places(path, ["id6", "id0", "other"]) == {
        "id0": "a line 3.json line 0",
        "id6": "b.json line 6",
    }


def test_values_are_counted_and_placed(path: Path) -> None:
    assert count_values(path, "label") == {"x": 5, "y": 2}
    assert {name: rows.tolist() for name, rows in places_by_value(path, "source").items()} == {
        "a line 3.json": [0, 1, 2, 3, 4, 5],
        "b.json": [6, 7, 8, 9],
    }


def test_samples_are_spread_evenly() -> None:
    assert spread(np.arange(100), 4).tolist() == [0, 25, 50, 75]
    assert spread(np.arange(2), 4).tolist() == [0, 1]
    assert spread(np.arange(0), 4).tolist() == []
