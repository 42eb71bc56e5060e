"""What stops the stage, and how it shares rows out to the two sides."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.errors import UserError
from tests.data.sources import BAD, GOOD, file_data, prepared, rows_of, write_rows

HALF_READABLE = [*GOOD[:10], *[{"instruction": "q", "output": ""}] * 10]


def test_too_many_rejected_rows_stop_the_run_with_reasons_and_place(tmp_path: Path) -> None:
    data = file_data(write_rows(tmp_path / "a.json", HALF_READABLE), "data.max_reject_rate=0.4")
    match = (
        r"data\.max_reject_rate=0\.4: 10 of 20 rows \(50%\) were set aside "
        r"\(empty_or_echoed 10\); the first: a\.json line 11, empty_or_echoed: "
        r"got \{\"empty\": \"assistant\"\}.* All of them are in .*rejected\.parquet"
    )
    with pytest.raises(UserError, match=match):
        prepared(data, tmp_path / "out")
    assert len(rows_of(tmp_path / "out", "rejected")) == 10


def test_just_so_many_rejected_rows_are_allowed(tmp_path: Path) -> None:
    data = file_data(write_rows(tmp_path / "a.json", HALF_READABLE), "data.max_reject_rate=0.5")
    assert prepared(data, tmp_path / "out")["counts"]["rejected"] == 10


def test_too_few_rows_names_counts_keys_and_reasons(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.json", [*GOOD[:4], *BAD])
    data = file_data(path, "data.min_train_rows=3", "data.split.held_out_rows=2")
    match = (
        r"data\.path=.*: 4 rows are left .* 5 are needed \(data\.min_train_rows=3 \+ "
        r"data\.split\.held_out_rows=2\); set aside: schema 2, empty_or_echoed 1, "
        r"exact_duplicates 1; the first: a\.json line 6, empty_or_echoed"
    )
    with pytest.raises(UserError, match=match):
        prepared(data, tmp_path / "out")


def test_just_enough_rows_are_enough(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.json", GOOD[:5])
    data = file_data(path, "data.min_train_rows=3", "data.split.held_out_rows=2")
    counts = prepared(data, tmp_path / "out")["counts"]
    assert (counts["train"], counts["held_out"]) == (3, 2)


def test_all_rows_rejected_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    data = file_data(write_rows(tmp_path / "a.json", [5, "text", None]))
    with pytest.raises(
        UserError, match=r": 0 rows are left .* schema 3; the first: a\.json line 1"
    ):
        prepared(data, tmp_path / "out")


def test_held_out_side_that_stays_empty_is_an_error(tmp_path: Path) -> None:
    rows = [{"instruction": "always the same", "output": f"answer {n}"} for n in range(20)]
    data = file_data(write_rows(tmp_path / "a.json", rows), "data.split.held_out_rows=2")
    with pytest.raises(UserError, match=r"data\.split\.held_out_rows=2 is smaller than every"):
        prepared(data, tmp_path / "out")


def test_limit_of_rows_that_a_small_held_out_side_leaves_is_no_error(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{n // 3}", "output": f"answer {n}"} for n in range(60)]
    data = file_data(
        write_rows(tmp_path / "a.json", rows),
        "data.train_rows=10",
        "data.min_train_rows=10",
        "data.split.held_out_rows=5",
    )
    counts = prepared(data, tmp_path / "out")["counts"]
    assert (counts["train"], counts["held_out"], counts["unused"]) == (10, 3, 47)


def test_held_out_file_is_the_held_out_side(tmp_path: Path) -> None:
    train, test = (
        write_rows(tmp_path / f"{name}.json", rows)
        for name, rows in (("train", GOOD[:12]), ("test", GOOD[12:]))
    )
    data = file_data(train, f"data.split.held_out_path={test}")
    assert prepared(data, tmp_path / "out")["counts"] == {
        "read": 20,
        "train": 12,
        "held_out": 8,
        "unused": 0,
        "rejected": 0,
    }
    assert {row["source"] for row in rows_of(tmp_path / "out", "held_out")} == {"test.json"}


def test_rows_of_the_held_out_file_do_not_count_as_training_rows(tmp_path: Path) -> None:
    train, test = (
        write_rows(tmp_path / f"{name}.json", rows)
        for name, rows in (("train", GOOD[:5]), ("test", GOOD))
    )
    data = file_data(train, f"data.split.held_out_path={test}", "data.min_train_rows=5")
    match = r"0 rows are left .* 5 are needed \(data\.min_train_rows=5\); .*exact_duplicates 5"
    with pytest.raises(UserError, match=match):
        prepared(data, tmp_path / "out")


def test_held_out_file_without_a_usable_row_is_named(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.json", GOOD)
    test = write_rows(tmp_path / "test.json", [5])
    data = file_data(train, f"data.split.held_out_path={test}")
    with pytest.raises(UserError, match=r"data\.split\.held_out_path=.*test\.json has no row"):
        prepared(data, tmp_path / "out")


def test_sources_are_mixed_by_weight_and_the_rest_is_unused(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{number}", "output": f"a{number}"} for number in range(80)]
    paths = [
        write_rows(tmp_path / "long.jsonl", rows[:60]),
        write_rows(tmp_path / "short.jsonl", rows[60:]),
    ]
    data = replace(file_data(paths), weights=[1.0, 1.0])
    counts = prepared(data, tmp_path / "out")["counts"]
    given_by = Counter(row["source"] for row in rows_of(tmp_path / "out", "train"))
    assert given_by["long.jsonl"] == given_by["short.jsonl"] >= 19
    assert counts["unused"] == 80 - counts["train"] - counts["held_out"]


@pytest.mark.parametrize("by", ["label", "kind", "source"])
def test_strata_have_the_same_shares_on_both_sides(tmp_path: Path, by: str) -> None:
    label = {} if by == "kind" else {"label": "好"}  # text alone is of another kind
    many = [{"text": f"评论{number}", **label} for number in range(60)]
    few = [{"text": f"评论{number}", "label": "坏"} for number in range(60, 80)]
    paths = [write_rows(tmp_path / "a.jsonl", many), write_rows(tmp_path / "b.jsonl", few)]
    data = file_data(
        paths, f"data.split.stratify_by={by}", "data.split.held_out_rows=8", "data/clean=none"
    )
    prepared(data, tmp_path / "out")
    given_by = Counter(row["source"] for row in rows_of(tmp_path / "out", "held_out"))
    assert given_by == {"a.jsonl": 6, "b.jsonl": 2}


def test_weights_that_leave_too_few_rows_are_named(tmp_path: Path) -> None:
    paths = [write_rows(tmp_path / "a.json", GOOD[:2]), write_rows(tmp_path / "b.json", GOOD[2:])]
    data = replace(file_data(paths, "data.min_train_rows=9"), weights=[2.0, 1.0])
    with pytest.raises(UserError, match=r"mixing by data\.weights=\[2\.0, 1\.0\].* 10 are needed"):
        prepared(data, tmp_path / "out")
