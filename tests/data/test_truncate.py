"""Nothing is longer than allowed, and what is left is still a question with its answer."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.config import TrainConfig
from loraflow.data.template import IGNORED, Example
from loraflow.data.truncate import Policy, truncate

POLICIES: tuple[Policy, ...] = get_args(Policy)
X = IGNORED


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """Ids are positions, so that a result shows what was cut."""
    marks = draw(st.lists(st.booleans(), max_size=40))
    return Example(list(range(len(marks))), [at if mark else X for at, mark in enumerate(marks)], 2)


def last_answer(example: Example) -> list[int]:
    """Return the positions from the last answer's first to the end."""
    text = "".join("." if label == X else "L" for label in example.labels)
    return list(range(text.rstrip(".").rfind(".") + 1, len(text)))


LIMITS = st.integers(1, 50)
KEEP = st.integers(0, 2)


@pytest.mark.parametrize("policy", POLICIES)
@given(example=examples(), limit=LIMITS, keep=KEEP)
def test_what_is_left_fits_and_is_in_order(
    policy: Policy, example: Example, limit: int, keep: int
) -> None:
    cut = truncate(example, limit, policy=policy, keep=keep)
    if cut is None:
        return
    assert len(cut.input_ids) == len(cut.labels) <= limit
    assert cut.input_ids == sorted(set(cut.input_ids) & set(example.input_ids))
    assert all(
        label in (X, example.labels[token])
        for token, label in zip(cut.input_ids, cut.labels, strict=True)
    )
    assert any(label != X for label in cut.labels)
    assert cut.turns_not_learned == example.turns_not_learned


@given(example=examples())
def test_answer_start_is_where_the_last_answer_begins(example: Example) -> None:
    learned = any(label != X for label in example.labels)
    assert example.answer_start == (last_answer(example)[0] if learned else None)


@pytest.mark.parametrize("policy", POLICIES)
@given(example=examples(), keep=KEEP)
def test_what_fits_is_left_alone(policy: Policy, example: Example, keep: int) -> None:
    learned = any(label != X for label in example.labels)
    assert truncate(example, 40, policy=policy, keep=keep) is (example if learned else None)


@given(example=examples(), limit=LIMITS, keep=KEEP)
def test_cut_prompt_leaves_the_answer_whole_and_asked_for(
    example: Example, limit: int, keep: int
) -> None:
    cut = truncate(example, limit, policy="cut_prompt", keep=keep)
    if cut is None:
        return
    answer = last_answer(example)
    assert cut.input_ids[-len(answer) :] == answer
    assert last_answer(cut) == list(range(len(cut.labels) - len(answer), len(cut.labels)))
    assert cut.input_ids[:keep] == example.input_ids[:keep]
    prompt = len(example.labels) - len(answer)
    assert len(cut.labels) - len(answer) >= min(prompt, keep + 1)
    if cut is not example:
        assert len(cut.labels) == limit  # nothing is cut for nothing


@given(example=examples(), limit=LIMITS, keep=KEEP)
def test_cut_answer_leaves_the_prompt_whole(example: Example, limit: int, keep: int) -> None:
    cut = truncate(example, limit, policy="cut_answer", keep=keep)
    if any(label != X for label in example.labels):
        fits = len(example.labels) - len(last_answer(example)) < limit
        assert (cut is not None) == fits
    if cut is not None:
        assert cut.input_ids == example.input_ids[:limit]
        assert cut.labels == example.labels[:limit]


@given(prompt=st.integers(3, 60), answer=st.integers(1, 60), limit=st.integers(8, 64))
def test_proportional_always_leaves_some_of_both(prompt: int, answer: int, limit: int) -> None:
    example = Example(list(range(prompt + answer)), [X] * prompt + [7] * answer)
    cut = truncate(example, limit, policy="proportional", keep=1)
    assert cut is not None
    assert len(cut.labels) == min(limit, prompt + answer)
    assert cut.input_ids[0] == 0
    assert X in cut.labels[1:]


@pytest.mark.parametrize(
    ("prompt", "answer", "left"),
    [
        (90, 10, (30, 10)),  # a short answer stays whole
        (10, 90, (10, 30)),  # a short prompt stays whole
        (60, 60, (20, 20)),
        (150, 50, (30, 10)),
    ],
)
def test_proportional_cuts_as_llama_factory_does(
    prompt: int, answer: int, left: tuple[int, int]
) -> None:
    example = Example(list(range(prompt + answer)), [X] * prompt + [7] * answer)
    cut = truncate(example, 40, policy="proportional")
    assert cut is not None
    assert (cut.labels.count(X), cut.labels.count(7)) == left
    assert cut.input_ids[: left[0]] == list(range(prompt - left[0], prompt))  # from the left


def test_cut_prompt_keeps_bos() -> None:
    example = Example([1, 2, 3, 4, 5], [X, X, X, 4, 5])
    assert truncate(example, 4, policy="cut_prompt", keep=1) == Example([1, 3, 4, 5], [X, X, 4, 5])
    assert truncate(example, 3, policy="cut_prompt", keep=1) is None
    assert truncate(example, 3, policy="cut_prompt") == Example([3, 4, 5], [X, 4, 5])
    assert truncate(example, 2, policy="cut_prompt") is None


def test_an_answer_whose_question_is_cut_off_is_no_longer_learned() -> None:
    example = Example([1, 2, 3, 4, 5, 6], [X, 2, 3, X, 5, 6])
    assert truncate(example, 4, policy="cut_prompt") == Example([3, 4, 5, 6], [X, X, 5, 6])
    assert truncate(example, 5, policy="cut_prompt", keep=1) == Example(
        [1, 3, 4, 5, 6], [X, X, X, 5, 6]
    )


def test_raw_text_can_only_lose_its_end() -> None:
    text = Example([1, 2, 3, 4], [X, 2, 3, 4])
    assert truncate(text, 3, policy="cut_prompt", keep=1) is None
    assert truncate(text, 3, policy="cut_answer", keep=1) == Example([1, 2, 3], [X, 2, 3])
    assert truncate(text, 3, policy="proportional", keep=1) == Example([1, 2, 3], [X, 2, 3])


def test_every_policy_of_the_config_is_known() -> None:
    assert get_args(TrainConfig.__annotations__["truncation"]) == POLICIES
