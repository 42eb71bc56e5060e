"""The stage writes what training reads, and no row is lost on the way."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from loraflow.config import TemplateConfig
from loraflow.data.encode import write
from loraflow.data.records import Record
from loraflow.data.template import IGNORED
from loraflow.data.tokenize import read_examples, tokenize
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from tests.data.tokens import SIDES, chat, template, training, write_records


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_rows_are_encoded_or_set_aside(tiny_base: BaseModel, tmp_path: Path, out: Path) -> None:
    records = [chat("问题", "short"), chat("问题", "long " * 60)]
    prepared = write_records(tmp_path, records)
    counts = tokenize(template("native"), training(64), prepared=prepared, base=tiny_base, out=out)[
        "counts"
    ]
    (example,) = read_examples(out / "train.parquet")
    assert example["id"] == records[0].id
    assert counts["train_rows"] == counts["train_too_long"] == counts["held_out_rows"] == 1
    assert counts["train_tokens"] == len(example["input_ids"])
    assert counts["train_learned_tokens"] == sum(label != IGNORED for label in example["labels"])
    (rejected,) = pq.read_table(out / "rejected.parquet").to_pylist()
    assert rejected == {
        "source": "a.jsonl",
        "line": 2,
        "operator": "max_length",
        "value": str(counts["train_longest"]),
        "threshold": "64",
        "original": json.dumps(records[1].messages, ensure_ascii=False),
    }


@pytest.mark.parametrize(
    ("truncation", "left"), [("drop", 1), ("cut_prompt", 2), ("cut_answer", 2), ("proportional", 3)]
)
def test_every_policy_is_counted(
    truncation: str, left: int, tiny_base: BaseModel, tmp_path: Path, out: Path
) -> None:
    records = [chat("a", "b"), chat("a" * 90, "b"), chat("a", "b" * 90)]
    prepared = write_records(tmp_path, records)
    counts = tokenize(
        template("user_assistant"),
        training(48, truncation),
        prepared=prepared,
        base=tiny_base,
        out=out,
    )["counts"]
    assert counts["train_rows"] == left
    assert counts["train_cut"] == left - 1
    assert counts["train_too_long"] == 3 - left
    for row in read_examples(out / "train.parquet"):
        assert len(row["input_ids"]) == len(row["labels"]) <= 48
        assert row["labels"][0] == IGNORED


def test_a_cut_prompt_keeps_bos(tiny_base: BaseModel, tmp_path: Path, out: Path) -> None:
    prepared = write_records(tmp_path, [chat("a" * 90, "b")])
    tokenize(template("native"), training(48), prepared=prepared, base=tiny_base, out=out)
    (row,) = read_examples(out / "train.parquet")
    tokenizer = load_tokenizer(tiny_base)
    assert tokenizer.decode(row["input_ids"]).startswith(f"{tokenizer.bos_token}aaa")


def test_pieces_of_a_side_make_one_file(
    tiny_base: BaseModel, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_CHARACTERS_AT_ONCE", 250)
    records = [chat(f"问题{n}", "答案", f"再问{n}", "再答" * (n % 5 * 9 + 1)) for n in range(20)]
    prepared = write_records(tmp_path, records)
    counts = tokenize(
        template("chatml"), training(150), prepared=prepared, base=tiny_base, out=out
    )["counts"]
    assert 0 < counts["train_too_long"] == 20 - counts["train_rows"]
    assert pq.ParquetFile(out / "train.parquet").num_row_groups > 3
    kept = [row["id"] for row in read_examples(out / "train.parquet")]
    set_aside = {row["line"] for row in pq.read_table(out / "rejected.parquet").to_pylist()}
    assert kept == [row.id for line, row in enumerate(records, 1) if line not in set_aside]


def test_worse_answers_are_not_learned(tiny_base: BaseModel, tmp_path: Path, out: Path) -> None:
    records = [
        chat("问题", "好", kind="kto", label="true"),
        chat("问题", "坏", kind="kto", label="false"),
        chat("问题", "好", kind="preference", rejected="坏"),
    ]
    counts = tokenize(
        template("native"),
        training(64),
        prepared=write_records(tmp_path, records),
        base=tiny_base,
        out=out,
    )["counts"]
    assert counts["train_rows"] == 2
    assert counts["train_undesirable"] == 1
    (rejected,) = pq.read_table(out / "rejected.parquet").to_pylist()
    assert (rejected["operator"], rejected["value"]) == ("undesirable", '"false"')


def test_rows_that_teach_nothing_or_cannot_be_shown_are_set_aside(
    tiny_base: BaseModel, tmp_path: Path, out: Path
) -> None:
    strict = TemplateConfig(
        "strict",
        "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}"
        "{% endif %}{{ m['content'] + eos_token }}{% endfor %}",
    )
    unlearned = Record(
        (
            {"role": "user", "content": "问"},
            {"role": "assistant", "content": "答", "learn": False},
        )
    )
    tool = Record(({"role": "tool", "content": "1"}, {"role": "assistant", "content": "答"}))
    prepared = write_records(tmp_path, [unlearned, tool, chat("问", "答")])
    counts = tokenize(strict, training(64), prepared=prepared, base=tiny_base, out=out)["counts"]
    assert [counts[f"train_{name}"] for name in ("rows", "nothing_learned", "not_rendered")] == [
        1
    ] * 3
    rejected = pq.read_table(out / "rejected.parquet").to_pylist()
    assert [row["operator"] for row in rejected] == ["nothing_learned", "template"]
    assert "no tools" in rejected[1]["value"]


def test_raw_text_needs_a_template_for_it(tiny_base: BaseModel, tmp_path: Path, out: Path) -> None:
    text = Record(({"role": "assistant", "content": "家父是甄远道。"},), kind="text")
    prepared = write_records(tmp_path, [text], [text])
    with pytest.raises(UserError, match=r"template=alpaca .* a.jsonl line 1 .* template=text"):
        tokenize(template("alpaca"), training(64), prepared=prepared, base=tiny_base, out=out)
    tokenize(template("text"), training(64), prepared=prepared, base=tiny_base, out=out)
    (row,) = read_examples(out / "held_out.parquet")
    assert row["labels"] == [IGNORED, *row["input_ids"][1:]]


def test_preview_shows_what_is_read_and_what_is_learned(
    tiny_base: BaseModel, tmp_path: Path, out: Path
) -> None:
    prepared = write_records(tmp_path, [chat("问题0", "答案")])
    tokenize(template("native"), training(64), prepared=prepared, base=tiny_base, out=out)
    read, learned = (out / "preview.txt").read_text().split("--- what it learns to write ---")
    assert "问题0" in read
    assert learned.strip() == "答案<|im_end|>"


@pytest.mark.parametrize("side", SIDES)
def test_no_row_left_is_an_error(
    side: str, tiny_base: BaseModel, tmp_path: Path, out: Path
) -> None:
    records = {name: [chat("问", "答" if name != side else "long " * 60)] for name in SIDES}
    prepared = write_records(tmp_path, records["train"], records["held_out"])
    with pytest.raises(UserError, match=rf"train\.max_length=32 .* {side} row .*max_length 1"):
        tokenize(template("native"), training(32), prepared=prepared, base=tiny_base, out=out)
