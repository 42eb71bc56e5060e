"""The page shows what is particular about pairs, labels and long texts."""

from collections.abc import Sequence
from pathlib import Path

from loraflow.config import TrainConfig
from loraflow.data.prepare import prepare
from loraflow.data.read.sources import fingerprint
from loraflow.data.report.run import report
from loraflow.data.tokenize import tokenize
from loraflow.files import write_json
from loraflow.model.source import BaseModel
from tests.data.sources import file_data, write_rows
from tests.data.tokens import template, training


def page(folder: Path, base: BaseModel, rows: Sequence[object], train: TrainConfig) -> str:
    """Run the data stages on a file with these rows, and return the report."""
    data = file_data(write_rows(folder / "rows.jsonl", rows), "data.clean.word_repetition=null")
    prepared, tokens = folder / "prepared", folder / "tokens"
    for each in (prepared, tokens):
        each.mkdir()
    form = template("text" if train.task == "text" else "native")
    write_json(prepared / "result.json", prepare(data, content=fingerprint(data), out=prepared))
    summary = tokenize(form, train, prepared=prepared, base=base, out=tokens)
    write_json(tokens / "result.json", summary)
    report(
        prepared=prepared,
        tokens=tokens,
        base=base,
        batch_size=2,
        max_length=train.max_length,
        out=folder,
    )
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_pair_is_shown_with_its_worse_answer(tiny_base: BaseModel, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"问题{n}", "chosen": f"答案{n}", "rejected": f"错误的话{n}"} for n in range(4)
    ]
    shown = page(tmp_path, tiny_base, rows, training(96, task="preference"))
    assert "which it learns to avoid" in shown
    assert "错误的话" in shown


def test_a_label_is_shown_and_no_learned_tokens(tiny_base: BaseModel, tmp_path: Path) -> None:
    rows = [{"text": f"第{n}部电影", "label": f"类{n % 2}"} for n in range(6)]
    shown = page(tmp_path, tiny_base, rows, training(96, task="classify"))
    assert "Label: <b>类" in shown
    assert "Learned: answers" not in shown


def test_windows_are_counted_and_their_place_is_that_of_the_row(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    rows = [
        {"text": "".join(map(chr, range(start, start + 40)))} for start in (20000, 21000, 22000)
    ]
    shown = page(tmp_path, tiny_base, rows, training(16, "windows", "text"))
    assert "are read in windows: 3 rows make" in shown
    assert "rows.jsonl line" in shown.partition('id="preview"')[2]
