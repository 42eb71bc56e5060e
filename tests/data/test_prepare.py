"""The stage writes every row once: to train on, held out, rejected, or counted as unused."""

from pathlib import Path
from typing import Any

import pytest

from loraflow.data.prepare import prepare, probe
from loraflow.errors import UserError
from loraflow.files import read_lines
from tests.data.sources import alpaca, write_rows

GOOD: list[dict[str, Any]] = [
    {"instruction": f"第{number}问", "output": f"回答{number}"} for number in range(20)
]
BAD: list[Any] = [GOOD[0], {"instruction": "q", "output": " "}, {"instruction": "q"}, 5]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return read_lines(folder / f"{name}.jsonl")


def test_rows_are_conserved(tmp_path: Path, out: Path) -> None:
    path = write_rows(tmp_path / "rows.json", [*GOOD, *BAD])
    summary = prepare(alpaca(path, train_rows=10), out=out)
    assert summary == {
        "counts": {"read": 24, "train": 10, "held_out": 2, "unused": 8, "rejected": 4},
        "rejected_by": {"schema": 2, "exact_duplicate": 1, "empty_text": 1},
    }
    for name in ("train", "held_out", "rejected"):
        assert len(lines(out, name)) == summary["counts"][name]


def test_chinese_text_survives_unchanged(tmp_path: Path, out: Path) -> None:
    prepare(alpaca(write_rows(tmp_path / "rows.jsonl", GOOD)), out=out)
    rows = [*lines(out, "train"), *lines(out, "held_out")]
    written = {tuple(message["content"] for message in row["messages"]) for row in rows}
    assert written == {(row["instruction"], row["output"]) for row in GOOD}
    assert "回答" in (out / "train.jsonl").read_text(encoding="utf-8")


def test_rejected_rows_are_written_with_line_and_reason(tmp_path: Path, out: Path) -> None:
    prepare(alpaca(write_rows(tmp_path / "rows.json", [*GOOD, 5])), out=out)
    (rejected,) = lines(out, "rejected")
    assert (rejected["line"], rejected["operator"], rejected["original"]) == (21, "schema", 5)


def test_same_source_gives_the_same_files(tmp_path: Path, out: Path) -> None:
    data = alpaca(write_rows(tmp_path / "rows.json", [*GOOD, *BAD]))
    prepare(data, out=out)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    prepare(data, out=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_half_a_surrogate_pair_loses_no_row(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, GOOD)
    with path.open("a") as file:  # JSON may spell half an emoji, UTF-8 cannot hold it
        file.write('{"instruction": "half \\ud83d", "output": "ok"}\n')
    counts = prepare(alpaca(path), out=out)["counts"]
    assert counts["read"] == 21
    assert counts["train"] + counts["held_out"] + counts["rejected"] == 21


def test_too_few_rows_names_counts_and_reasons(tmp_path: Path, out: Path) -> None:
    path = write_rows(tmp_path / "rows.json", [*GOOD[:4], *BAD])
    match = (
        r"data\.path=.*: 4 rows are left .* 5 are needed .*data\.min_train_rows=3 \+ "
        r"data\.held_out_rows=2.* rejected 4 \(schema 2, exact_duplicate 1, empty_text 1\); "
        r"the first: line 5, exact_duplicate"
    )
    with pytest.raises(UserError, match=match):
        prepare(alpaca(path), out=out)
    assert not list(out.iterdir())


def test_just_enough_rows_are_enough(tmp_path: Path, out: Path) -> None:
    counts = prepare(alpaca(write_rows(tmp_path / "rows.json", GOOD[:5])), out=out)["counts"]
    assert (counts["train"], counts["held_out"]) == (3, 2)


def test_held_out_side_that_stays_empty_is_an_error(tmp_path: Path, out: Path) -> None:
    rows = [{"instruction": "always the same", "output": f"answer {n}"} for n in range(20)]
    with pytest.raises(UserError, match=r"data\.held_out_rows"):
        prepare(alpaca(write_rows(tmp_path / "rows.json", rows)), out=out)


@pytest.mark.parametrize("rows", [[], [5], GOOD[:4]])
def test_probe_finds_what_the_stage_would(tmp_path: Path, rows: list[Any]) -> None:
    with pytest.raises(UserError, match=r"data\.path=.*are needed"):
        probe(alpaca(write_rows(tmp_path / "rows.json", rows)))


def test_probe_lets_a_usable_file_pass_and_writes_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.json", GOOD)
    probe(alpaca(path))
    assert list(tmp_path.iterdir()) == [path]


def test_probe_finds_a_long_file_of_another_format(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{"text": "other"}] * 6_000)
    with pytest.raises(UserError, match=r"data\.path=.*rejected 5000 \(schema 5000\)"):
        probe(alpaca(path))
