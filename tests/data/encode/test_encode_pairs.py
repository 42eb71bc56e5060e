"""Both answers of a pair stand behind the very same prompt, and both fit."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.template import IGNORED, Example
from loraflow.data.truncate import Policy, truncate_pair
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from tests.data.sources import on_any_machine
from tests.data.tokens import chat, pair, tokenized, training

PREFERENCE = training(96, task="preference")
PAIR = pair("你是谁？", "家父是甄远道。", rejected="我是一个模型。")
POLICIES: list[Policy] = ["drop", "cut_prompt", "cut_answer", "proportional"]


def prompt_of(ids: list[int], labels: list[int]) -> list[int]:
    return [token for token, label in zip(ids, labels, strict=True) if label == IGNORED]


def decoded(base: BaseModel, row: dict[str, Any], column: str) -> str:
    text: str = load_tokenizer(base).decode([x for x in row[column] if x != IGNORED])
    return text


def test_both_answers_are_encoded_behind_one_prompt(tiny_base: BaseModel, tmp_path: Path) -> None:
    tokens = tokenized(tmp_path, tiny_base, PREFERENCE, [PAIR], [PAIR], form="native")
    (row,) = tokens.examples()
    assert prompt_of(row["input_ids"], row["labels"]) == prompt_of(
        row["rejected_ids"], row["rejected_labels"]
    )
    assert decoded(tiny_base, row, "labels") == "家父是甄远道。<|im_end|>"
    assert decoded(tiny_base, row, "rejected_labels") == "我是一个模型。<|im_end|>"
    preview = (tokens.folder / "preview.txt").read_text(encoding="utf-8")
    assert "learns not to write ---\n我是一个模型。" in preview


def test_earlier_answers_are_context(tiny_base: BaseModel, tmp_path: Path) -> None:
    turns = pair("一", "答一", "二", "答二", rejected="错")
    tokens = tokenized(tmp_path, tiny_base, PREFERENCE, [turns], [turns], form="native")
    assert decoded(tiny_base, tokens.examples()[0], "labels") == "答二<|im_end|>"


@on_any_machine
@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)),
    limit=st.integers(8, 48),
    keep=st.integers(0, 1),
    policy=st.sampled_from(POLICIES),
)
def test_a_cut_pair_keeps_one_prompt_and_fits(
    sizes: tuple[int, int, int], limit: int, keep: int, policy: Policy
) -> None:
    prompt, chosen, rejected = (
        list(range(start, start + size)) for start, size in zip((0, 100, 200), sizes, strict=True)
    )
    ignored = [IGNORED] * len(prompt)
    better, worse = (Example(prompt + side, ignored + side) for side in (chosen, rejected))
    cut = truncate_pair(better, worse, limit, policy=policy, keep=keep)
    fits = len(prompt) + max(len(chosen), len(rejected)) <= limit
    assert not fits or cut == (better, worse)
    if cut is None:
        return
    prompts = [prompt_of(side.input_ids, side.labels) for side in cut]
    assert prompts[0] == prompts[1] == [*prompt[:keep], *prompts[0][keep:]]
    assert prompt[-1] in prompts[0]
    assert all(0 < len(prompts[0]) < len(side.labels) <= limit for side in cut)


def test_a_pair_of_which_one_side_cannot_fit_is_set_aside(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    long = pair("你是谁？", "好", rejected="long " * 90)
    tokens = tokenized(tmp_path, tiny_base, PREFERENCE, [PAIR, long], [PAIR], form="native")
    assert (tokens.counts["train_rows"], tokens.counts["train_too_long"]) == (1, 1)
    (row,) = tokens.rejected()
    assert (row["operator"], row["threshold"]) == ("max_length", "96")


@pytest.mark.parametrize(
    "row",
    [
        chat("问", "答"),
        chat("问", "答", kind="kto", label="false"),
        pair("问", "答", rejected="答"),
    ],
    ids=["question", "kto", "equal"],
)
def test_what_is_no_pair_is_set_aside(row: Any, tiny_base: BaseModel, tmp_path: Path) -> None:
    tokens = tokenized(tmp_path, tiny_base, PREFERENCE, [PAIR, row], [PAIR], form="native")
    assert (tokens.counts["train_rows"], tokens.counts["train_not_a_pair"]) == (1, 1)
    assert [row["operator"] for row in tokens.rejected()] == ["not_a_pair"]


def test_no_pair_at_all_names_a_way_to_make_some(tiny_base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.task=preference .* data\.negatives=\[similar,"):
        tokenized(tmp_path, tiny_base, PREFERENCE, [chat("问", "答")], form="native")
