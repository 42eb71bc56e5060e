"""Long documents become several examples, and every token of them is learned once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.template import IGNORED, Example
from loraflow.data.truncate import cut_windows
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from tests.data.sources import on_any_machine
from tests.data.tokens import chat, document, tokenized, training

WINDOWS = training(16, "windows", "text")
LONG = document("家父是大理寺少卿甄远道。" * 9)
SHORT = document("short")


def learned(rows: list[dict[str, list[int]]]) -> list[int]:
    return [label for row in rows for label in row["labels"] if label != IGNORED]


@on_any_machine
@given(tokens=st.integers(2, 90), limit=st.integers(8, 40), keep=st.integers(0, 1))
def test_every_token_but_the_first_is_learned_once(tokens: int, limit: int, keep: int) -> None:
    whole = Example(list(range(tokens)), [IGNORED, *range(1, tokens)])
    windows = cut_windows(whole, limit, keep=keep)
    assert [x for part in windows for x in part.labels if x != IGNORED] == whole.labels[1:]
    for part in windows:
        assert len(part.input_ids) == len(part.labels) <= limit
        assert part.labels == [IGNORED, *part.input_ids[1:]]
        assert part.input_ids[0] == (0 if keep else part.input_ids[1] - 1)


def test_a_document_that_fits_is_left_alone() -> None:
    whole = Example([1, 2, 3], [IGNORED, 2, 3])
    assert cut_windows(whole, 3)[0] is whole


def test_windows_are_named_after_their_document_and_counted(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    tokens = tokenized(tmp_path, tiny_base, WINDOWS, [LONG, SHORT], [LONG])
    rows = tokens.examples()
    windows = len(rows) - 1
    assert windows > 2
    assert [row["id"] for row in rows] == [*(f"{LONG.id}-{n}" for n in range(windows)), SHORT.id]
    assert (tokens.counts["train_rows"], tokens.counts["train_examples"]) == (2, len(rows))
    assert tokens.counts["train_tokens"] == sum(len(row["input_ids"]) for row in rows)
    assert tokens.counts["train_learned_tokens"] == len(learned(rows))
    assert tokens.counts["train_cut"] == tokens.counts["train_too_long"] == 0
    assert tokens.counts["held_out_examples"] == windows


def test_only_the_last_window_ends_the_document(tiny_base: BaseModel, tmp_path: Path) -> None:
    rows = tokenized(tmp_path, tiny_base, WINDOWS, [LONG], [SHORT]).examples()
    tokenizer = load_tokenizer(tiny_base)
    ends = [row["input_ids"].count(tokenizer.eos_token_id) for row in rows]
    assert ends == [0] * (len(rows) - 1) + [1]
    text = tokenizer.decode([rows[0]["input_ids"][0], *learned(rows)], skip_special_tokens=True)
    assert text == LONG.answer


def test_other_policies_cut_a_document_once(tiny_base: BaseModel, tmp_path: Path) -> None:
    settings = training(32, "cut_answer", "text")
    tokens = tokenized(tmp_path, tiny_base, settings, [LONG, SHORT], [SHORT])
    assert tokens.counts["train_examples"] == tokens.counts["train_rows"] == 2
    assert tokens.counts["train_cut"] == 1


def test_what_is_no_raw_text_is_set_aside(tiny_base: BaseModel, tmp_path: Path) -> None:
    tokens = tokenized(tmp_path, tiny_base, WINDOWS, [SHORT, chat("问", "答")], [SHORT])
    assert (tokens.counts["train_rows"], tokens.counts["train_not_raw_text"]) == (1, 1)
    assert [row["operator"] for row in tokens.rejected()] == ["not_raw_text"]


def test_conversations_alone_are_an_error(tiny_base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.task=text .* no train row .*data=text.*train=sft"):
        tokenized(tmp_path, tiny_base, WINDOWS, [chat("问", "答")])
