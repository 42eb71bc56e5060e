"""What the stage prepare wrote is read back as it is, whatever layout the other files have."""

from pathlib import Path

import pytest

from loraflow.config import DataConfig
from loraflow.data.prepare import prepare
from loraflow.data.read.fields import Unfit
from loraflow.data.read.own import from_own, is_own
from loraflow.data.read.sources import fingerprint
from loraflow.data.tables import RECORDS, read_rows
from tests.conftest import composed


def alpaca(path: Path, count: int) -> Path:
    rows = [
        f'{{"instruction": "第{n}个问题是什么？", "output": "答案{n}。"}}\n' for n in range(count)
    ]
    path.write_text("".join(rows), encoding="utf-8")
    return path


def prepared(data: DataConfig, out: Path) -> Path:
    out.mkdir()
    prepare(data, content=fingerprint(data), out=out)
    return out


def data_of(path: Path, *more: str) -> DataConfig:
    words = ["data=file", "data.layout=alpaca", f"data.path={path}", "data.min_train_rows=1"]
    return composed(*words, *more).data


def test_held_out_rows_can_be_held_out_again_from_other_data(tmp_path: Path) -> None:
    data = data_of(alpaca(tmp_path / "a.jsonl", 40), "data.split.held_out_rows=10")
    first = prepared(data, tmp_path / "first")
    held_out = first / "held_out.parquet"
    assert is_own(held_out)
    more = data_of(alpaca(tmp_path / "b.jsonl", 60), f"data.split.held_out_path={held_out}")
    second = prepared(more, tmp_path / "second")
    ids = [row.id for row in read_rows(held_out)]
    assert sorted(row.id for row in read_rows(second / "held_out.parquet")) == sorted(ids)
    assert not {row.id for row in read_rows(second / "train.parquet")} & set(ids)
    assert len(list(read_rows(second / "train.parquet"))) == 60 - len(ids)


@pytest.mark.parametrize("label", [None, "D", "AB", ""])
def test_a_multiple_choice_needs_the_letter_of_an_option(label: str | None) -> None:
    row = {name: None for name in RECORDS.names}
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "A. a"}]
    choice = {**row, "messages": messages, "kind": "choice", "choices": ["a", "b", "c"]}
    assert from_own({**choice, "label": "A"}).option_lines == ("A. a", "B. b", "C. c")
    with pytest.raises(Unfit, match="letter in label"):
        from_own({**choice, "label": label})


def test_other_parquet_files_and_damaged_ones_are_not_its_own(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 but no more")
    assert not is_own(damaged)
    assert not is_own(alpaca(tmp_path / "a.jsonl", 1))


def test_rows_can_be_kept_out_as_a_benchmark(tmp_path: Path) -> None:
    first = prepared(
        data_of(alpaca(tmp_path / "a.jsonl", 40), "data.split.held_out_rows=10"), tmp_path / "first"
    )
    gate = first / "held_out.parquet"
    more = data_of(
        alpaca(tmp_path / "b.jsonl", 60),
        "data.split.held_out_rows=10",
        f"data.leak.benchmarks=[{gate}]",
    )
    second = prepared(more, tmp_path / "second")
    asked = {row.record.question for row in read_rows(gate)}
    assert not asked & {row.record.question for row in read_rows(second / "train.parquet")}
