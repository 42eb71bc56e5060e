"""The stage writes what training reads, and no row is lost on the way."""

from pathlib import Path

import pytest

from loraflow.data.records import Record
from loraflow.data.template import IGNORED
from loraflow.data.tokenize import read_examples, tokenize
from loraflow.errors import UserError
from loraflow.files import read_lines, write_lines
from loraflow.model.source import BaseModel
from tests.conftest import composed


def write_records(folder: Path, answers: list[str]) -> Path:
    rows = [
        Record(
            ({"role": "user", "content": f"问题{n}"}, {"role": "assistant", "content": text}), n
        ).as_row()
        for n, text in enumerate(answers)
    ]
    for name in ("train", "held_out"):
        write_lines(folder / f"{name}.jsonl", rows)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_rows_are_encoded_or_set_aside(tiny_base: BaseModel, tmp_path: Path, out: Path) -> None:
    prepared = write_records(tmp_path, ["short", "long " * 60])
    summary = tokenize(
        composed().template, max_length=64, prepared=prepared, base=tiny_base, out=out
    )
    assert summary["counts"]["train_rows"] == 1
    assert summary["counts"]["train_too_long"] == 1
    assert [row["line"] for row in read_lines(out / "too_long.jsonl")] == [1, 1]


def test_every_row_learns_at_least_one_token(
    tiny_base: BaseModel, tmp_path: Path, out: Path
) -> None:
    prepared = write_records(tmp_path, ["a", "b" * 20])
    tokenize(composed().template, max_length=32, prepared=prepared, base=tiny_base, out=out)
    for row in read_examples(out / "train.parquet"):
        assert len(row["input_ids"]) == len(row["labels"]) <= 32
        assert row["labels"][0] == IGNORED
        assert row["labels"][-1] != IGNORED


def test_preview_shows_what_is_read_and_what_is_learned(
    tiny_base: BaseModel, tmp_path: Path, out: Path
) -> None:
    prepared = write_records(tmp_path, ["答案"])
    tokenize(composed().template, max_length=64, prepared=prepared, base=tiny_base, out=out)
    read, learned = (out / "preview.txt").read_text().split("--- what it learns to write ---")
    assert "问题0" in read
    assert learned.strip() == "答案<|im_end|>"


def test_no_row_left_is_an_error(tiny_base: BaseModel, tmp_path: Path, out: Path) -> None:
    prepared = write_records(tmp_path, ["long " * 60])
    with pytest.raises(UserError, match=r"train\.max_length=16"):
        tokenize(composed().template, max_length=16, prepared=prepared, base=tiny_base, out=out)
