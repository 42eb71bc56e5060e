"""Texts are encoded as the tokenizer does by itself, each with a label that training knows."""

from pathlib import Path

import pytest

from loraflow.data.encode.labels import read_labels
from loraflow.data.template import IGNORED
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from tests.data.tokens import chat, labelled, tokenized, training
from tests.tiny_encoder import make_encoder

CLASSIFY = training(16, task="classify")
REVIEWS = [labelled("好看", "正面"), labelled("a film", "neutral"), labelled("难看", "负面")]


def test_a_text_is_tokenized_without_a_template(tiny_base: BaseModel, tmp_path: Path) -> None:
    tokens = tokenized(tmp_path, tiny_base, CLASSIFY, REVIEWS, REVIEWS[:1])
    row = tokens.examples()[1]
    assert row["input_ids"] == load_tokenizer(tiny_base)("a film")["input_ids"]
    assert (row["id"], row["label"]) == (REVIEWS[1].id, "neutral")
    assert row["labels"] == [IGNORED] * len(row["input_ids"])


def test_labels_of_the_training_side_are_listed_in_order(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    tokens = tokenized(tmp_path, tiny_base, CLASSIFY, REVIEWS, REVIEWS[:1])
    assert read_labels(tokens.folder) == sorted(["正面", "neutral", "负面"])


@pytest.mark.parametrize(("truncation", "left"), [("cut_prompt", 4), ("drop", 3)])
def test_a_long_text_is_cut_from_the_right_or_dropped(
    truncation: str, left: int, tiny_base: BaseModel, tmp_path: Path
) -> None:
    settings = training(16, truncation, "classify")
    rows = [*REVIEWS, labelled("begin " + "好" * 40, "正面")]
    tokens = tokenized(tmp_path, tiny_base, settings, rows, REVIEWS)
    assert tokens.counts["train_rows"] == left
    assert (tokens.counts["train_cut"], tokens.counts["train_too_long"]) == (left - 3, 4 - left)
    if left == 4:
        cut = tokens.examples()[-1]["input_ids"]
        whole = load_tokenizer(tiny_base)(rows[-1].question)["input_ids"]
        assert cut == whole[:16]
        assert tokens.counts["train_longest"] == len(whole)


def test_an_encoder_keeps_its_marks_when_a_text_is_cut(tmp_path: Path) -> None:
    base = make_encoder(tmp_path / "model")
    rows = [labelled("good " * 30, "1"), labelled("bad", "0")]
    (long, short) = tokenized(tmp_path, base, CLASSIFY, rows, rows).examples()
    marks = load_tokenizer(base)
    for row in (long, short):
        assert row["input_ids"][0] == marks.cls_token_id
        assert row["input_ids"][-1] == marks.sep_token_id
    assert len(long["input_ids"]) == 16


def test_a_held_out_label_that_training_never_saw_is_set_aside(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    held_out = [REVIEWS[0], labelled("?", "unknown")]
    tokens = tokenized(tmp_path, tiny_base, CLASSIFY, REVIEWS, held_out)
    assert (tokens.counts["held_out_rows"], tokens.counts["held_out_unknown_label"]) == (1, 1)
    (row,) = tokens.rejected()
    assert (row["operator"], row["value"]) == ("unknown_label", '"unknown"')


def test_rows_without_a_label_are_set_aside(tiny_base: BaseModel, tmp_path: Path) -> None:
    kto = chat("问", "答", kind="kto", label="true")  # judged, but not a class
    tokens = tokenized(tmp_path, tiny_base, CLASSIFY, [*REVIEWS, kto, chat("a", "b")], REVIEWS)
    assert tokens.counts["train_not_labelled"] == 2


def test_no_label_at_all_says_which_columns_are_read(tiny_base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no train row .*data\.layout=classify.*\{text:review,"):
        tokenized(tmp_path, tiny_base, CLASSIFY, [chat("a", "b")])


def test_one_label_alone_cannot_be_learned(tiny_base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.task=classify needs at least 2 .* '正面'"):
        tokenized(tmp_path, tiny_base, CLASSIFY, REVIEWS[:1], REVIEWS[:1])


def test_held_out_labels_that_are_all_new_point_to_the_split(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"no held_out row .*data\.split\.stratify_by=label"):
        tokenized(tmp_path, tiny_base, CLASSIFY, REVIEWS, [labelled("?", "new")])
