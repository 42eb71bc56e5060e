"""Rows of one prompt stay together, and each row keeps its side as the data grows."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from loraflow.data.clean.fingerprints import Digests, Rows, digest
from loraflow.data.judge.split import choose_held_out, choose_training
from tests.data.sources import on_any_machine

# few prompts, so that many rows share one
groups = st.lists(st.integers(0, 12), max_size=40)
sizes = st.integers(1, 10)


def as_digests(prompts: list[int]) -> Digests:
    return np.array([digest(f"prompt {prompt}") for prompt in prompts], np.uint64)


def hold_out(
    prompts: list[int], held_out: int, strata: list[int] | None = None, seed: int = 0
) -> list[int]:
    """Return the numbers of the held-out rows."""
    stratum = np.array(strata or [0] * len(prompts), np.uint64)
    rows = np.arange(len(prompts))
    chosen = choose_held_out(as_digests(prompts), stratum, rows, held_out_rows=held_out, seed=seed)
    return [int(row) for row in chosen]


def hold_out_prompts(prompts: list[int], held_out: int) -> set[int]:
    return {prompts[row] for row in hold_out(prompts, held_out)}


def train_on(
    entries: list[int],
    *,
    rows: Rows | None = None,
    train: int | None = None,
    weights: list[float] | None = None,
) -> list[int]:
    """Return the numbers of the training rows; every row has a prompt of its own."""
    everyone = list(range(len(entries)))
    chosen = choose_training(
        as_digests(everyone),
        np.array(entries, np.int16),
        np.array(everyone, np.int64) if rows is None else rows,
        train_rows=train,
        weights=weights,
        seed=0,
    )
    return [int(row) for row in chosen]


@on_any_machine
@given(groups, sizes)
def test_no_prompt_straddles_the_sides_and_no_more_is_held_out_than_asked_for(
    prompts: list[int], held_out: int
) -> None:
    chosen = hold_out(prompts, held_out)
    others = {prompt for row, prompt in enumerate(prompts) if row not in chosen}
    assert not {prompts[row] for row in chosen} & others
    assert len(set(chosen)) == len(chosen) <= held_out


@on_any_machine
@given(st.sets(st.integers(0, 99)), sizes)
def test_different_prompts_give_just_as_many_rows_as_asked_for(
    prompts: set[int], held_out: int
) -> None:
    assert len(hold_out(list(prompts), held_out)) == min(held_out, len(prompts))


@on_any_machine
@given(groups, sizes, st.randoms())
def test_order_of_the_source_does_not_matter(
    prompts: list[int], held_out: int, order: random.Random
) -> None:
    shuffled = order.sample(prompts, len(prompts))
    assert hold_out_prompts(prompts, held_out) == hold_out_prompts(shuffled, held_out)


@on_any_machine
@given(st.sets(st.integers(0, 99)), st.sets(st.integers(100, 199), max_size=5), sizes)
def test_added_rows_take_their_own_places_only(old: set[int], new: set[int], held_out: int) -> None:
    before = hold_out_prompts(sorted(old), held_out)
    after = hold_out_prompts([*sorted(old), *sorted(new)], held_out)
    assert len(before - after) <= len(new)


@on_any_machine
@given(groups, st.sets(st.integers(100, 199), max_size=5), sizes)
@example(old=[0, 1, 1], new={100}, held_out=2)
def test_rows_with_new_prompts_bring_no_trained_row_to_the_held_out_side(
    old: list[int], new: set[int], held_out: int
) -> None:
    before = hold_out_prompts(old, held_out)
    after = hold_out_prompts([*old, *sorted(new)], held_out)
    assert after - new <= before


def test_row_with_a_known_prompt_joins_its_group() -> None:
    prompts = list(range(20))
    (chosen,) = hold_out(prompts, 1)
    assert hold_out([*prompts, chosen], 2) == [chosen, 20]


def test_group_larger_than_the_held_out_side_is_trained_on() -> None:
    prompts = [7] * 5 + [1, 2, 3]
    assert not {0, 1, 2, 3, 4} & set(hold_out(prompts, 3))
    assert hold_out([7] * 5, 4) == []


def test_same_seed_same_rows_and_another_seed_others() -> None:
    prompts = list(range(100))
    first, again, other = (hold_out(prompts, 20, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_rows_left_out_before_are_not_chosen() -> None:
    prompts = as_digests(list(range(10)))
    rows = np.array([1, 4, 5])
    chosen = choose_held_out(prompts, prompts, rows, held_out_rows=9, seed=0)
    assert chosen.tolist() == [1, 4, 5]


@on_any_machine
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 20))
def test_every_stratum_gives_in_proportion(strata: list[int], held_out: int) -> None:
    assume(held_out <= len(strata))
    chosen = hold_out(list(range(len(strata))), held_out, strata)
    given_by = Counter(strata[row] for row in chosen)
    assert len(chosen) == held_out
    for stratum, rows in Counter(strata).items():
        assert abs(given_by[stratum] - held_out * rows / len(strata)) < 1


def test_group_counts_for_the_stratum_of_its_first_row() -> None:
    prompts, strata = [0, 1, 1, 2, 3, 4], [5, 5, 9, 5, 5, 5]
    assert len(hold_out(prompts, 6, strata)) == 6


def test_all_rows_are_trained_on_unless_limited() -> None:
    assert train_on([0] * 9) == list(range(9))
    assert len(train_on([0] * 9, train=4)) == 4
    assert set(train_on([0] * 9, train=4)) < set(train_on([0] * 9, train=5))
    assert train_on([0] * 9, rows=np.array([2, 3])) == [2, 3]


def test_no_rows_give_no_training_rows() -> None:
    none = np.array([], np.int64)
    assert train_on([0], rows=none) == []
    assert train_on([0], rows=none, weights=[1, 2]) == []


def test_shortest_entry_for_its_weight_decides() -> None:
    entries = [0] * 90 + [1] * 10
    chosen = Counter(entries[row] for row in train_on(entries, weights=[2, 1]))
    assert chosen == {0: 20, 1: 10}


@on_any_machine
@given(
    st.lists(st.integers(0, 2), min_size=3, max_size=60),
    st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    st.none() | st.integers(1, 30),
)
def test_weights_share_the_training_rows_and_repeat_none(
    entries: list[int], weights: list[float], train: int | None
) -> None:
    chosen = train_on(entries, weights=weights, train=train)
    given_by = Counter(entries[row] for row in chosen)
    assert len(set(chosen)) == len(chosen)
    assert train is None or len(chosen) <= train
    for entry, weight in enumerate(weights):
        assert abs(given_by[entry] - len(chosen) * weight / sum(weights)) < 1


@on_any_machine
@given(st.integers(1, 40), st.integers(1, 20))
def test_limit_is_met_exactly_where_there_are_rows_enough(train: int, weight: int) -> None:
    entries = [0] * 50 + [1] * 1000
    assert len(train_on(entries, weights=[1, weight], train=train)) == train


@pytest.mark.parametrize("shares", [[0.7, 0.3], [1 / 3, 2 / 3], [0.1, 0.9]])
def test_rows_in_the_very_shares_asked_for_are_all_used(shares: list[float]) -> None:
    entries = [0] * round(shares[0] * 30) + [1] * round(shares[1] * 30)
    assert len(train_on(entries, weights=shares)) == 30
