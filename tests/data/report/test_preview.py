"""A row of tokens is shown whole: each token once, each character whole, each border kept."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraflow.data.report.preview import Piece, Preview, preview
from loraflow.data.template import IGNORED
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture
def tokenizer(tiny_base: BaseModel) -> Tokenizer:
    return load_tokenizer(tiny_base)


def row_of(tokenizer: Tokenizer, prompt: str, answer: str) -> dict[str, Any]:
    asked, said = (tokenizer(text)["input_ids"] for text in (prompt, answer))
    return {"input_ids": asked + said, "labels": [IGNORED] * len(asked) + said}


def pieces_of(shown: Preview) -> Iterator[Piece]:
    for stretch in shown.stretches:
        yield from stretch.pieces


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_pieces_are_the_tokens_and_the_text(tokenizer: Tokenizer, prompt: str, answer: str) -> None:
    row = row_of(tokenizer, prompt, answer)
    pieces = list(pieces_of(preview(row, tokenizer)))
    assert [number for piece in pieces for number in piece.ids] == row["input_ids"]
    assert "".join(piece.text for piece in pieces) == prompt + answer
    assert "".join(piece.text for piece in pieces if piece.learned) == answer


def test_a_character_split_over_tokens_is_one_piece(tokenizer: Tokenizer) -> None:
    pieces = list(pieces_of(preview(row_of(tokenizer, "龘", "😀"), tokenizer)))
    assert [piece.text for piece in pieces] == ["龘", "😀"]
    assert all(len(piece.ids) > 1 for piece in pieces)


def test_special_tokens_stand_alone(tokenizer: Tokenizer) -> None:
    row = row_of(tokenizer, "<|im_start|>龘<|im_end|>", "<|im_end|>")
    pieces = list(pieces_of(preview(row, tokenizer)))
    assert [piece.special for piece in pieces] == [True, False, True, True]
    assert [piece.learned for piece in pieces] == [False, False, False, True]


def test_half_a_character_is_shown_where_the_learned_part_begins(tokenizer: Tokenizer) -> None:
    row = row_of(tokenizer, "龘", "a")
    row["input_ids"], row["labels"] = row["input_ids"][1:], row["labels"][1:]  # cut from the left
    pieces = list(pieces_of(preview(row, tokenizer)))
    assert [(piece.text[-1], piece.learned) for piece in pieces][-2:] == [
        ("\ufffd", False),
        ("a", True),
    ]


def test_of_a_long_row_the_ends_and_the_start_of_the_answer_are_shown(
    tokenizer: Tokenizer,
) -> None:
    row = row_of(tokenizer, "<|im_start|>" + "问" * 900, "答" * 900 + "<|im_end|>")
    shown = preview(row, tokenizer)
    left_out = sum(stretch.left_out for stretch in shown.stretches)
    pieces = list(pieces_of(shown))
    assert left_out + sum(len(piece.ids) for piece in pieces) == shown.tokens == len(row["labels"])
    assert left_out > 0
    assert pieces[0].special
    assert pieces[-1].special
    assert any(not a.learned and b.learned for a, b in pairwise(pieces))
    assert shown.turns == [(False, len(row["labels"]) - shown.learned), (True, shown.learned)]
