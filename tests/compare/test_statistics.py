"""Paired differences, on numbers that can be checked by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraflow.compare.statistics import Difference, paired_difference

scores = st.floats(-100, 100).map(lambda score: round(score, 3))
pairs = st.lists(st.tuples(scores, scores, st.integers(1, 50)), min_size=1, max_size=20)
few = settings(max_examples=40, deadline=None)


def test_same_gain_everywhere_has_no_width() -> None:
    assert paired_difference([2.0, 3.0, 5.0], [1.0, 2.0, 4.0]) == Difference(1.0, 1.0, 1.0)


def test_two_items_span_both_differences() -> None:
    # a resample takes either item twice one time in four, so 2.5% and 97.5% lie at the ends
    assert paired_difference([0.0, 2.0], [0.0, 0.0]) == Difference(1.0, 0.0, 2.0)


def test_mean_is_weighted() -> None:
    difference = paired_difference([0.0, 4.0], [0.0, 0.0], weights=[3, 1])
    assert difference == Difference(1.0, 0.0, 4.0)


def test_item_without_weight_does_not_count() -> None:
    weighted = paired_difference([1.0] * 20 + [9.0], [0.0] * 21, weights=[1] * 20 + [0])
    assert (weighted.mean, weighted.low, weighted.high) == pytest.approx((1.0, 1.0, 1.0))


def test_equal_weights_are_as_none() -> None:
    challenger, reference = [1.0, 2.0, 4.0], [1.0, 0.0, 1.0]
    weighted = paired_difference(challenger, reference, weights=[7, 7, 7])
    plain = paired_difference(challenger, reference)
    assert vars(weighted) == pytest.approx(vars(plain))


@given(pairs)
@few
def test_interval_contains_the_mean(pairs: list[tuple[float, float, int]]) -> None:
    challenger, reference, weights = zip(*pairs, strict=True)
    difference = paired_difference(challenger, reference, weights=weights)
    assert difference.low - 1e-9 <= difference.mean <= difference.high + 1e-9


@given(pairs)
@few
def test_exchanging_the_arms_mirrors_the_interval(pairs: list[tuple[float, float, int]]) -> None:
    challenger, reference, weights = zip(*pairs, strict=True)
    there = paired_difference(challenger, reference, weights=weights)
    back = paired_difference(reference, challenger, weights=weights)
    mirrored = (-back.mean, -back.high, -back.low)
    assert (there.mean, there.low, there.high) == pytest.approx(mirrored, abs=1e-9)


@given(st.lists(scores, min_size=1, max_size=20))
@few
def test_equal_arms_differ_by_zero(scores: list[float]) -> None:
    assert paired_difference(scores, scores) == Difference(0.0, 0.0, 0.0)


def test_interval_depends_on_the_seed_alone() -> None:
    challenger, reference = [0.1 * n * n for n in range(12)], [0.3 * n for n in range(12)]
    first, again, other = (
        paired_difference(challenger, reference, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.mean == other.mean


def test_what_makes_items_hard_for_both_does_not_widen_the_interval() -> None:
    hard = [0.0, 50.0, 100.0, -80.0, 20.0]
    gain = [1.0, 1.2, 0.8, 1.1, 0.9]
    difference = paired_difference([h + g for h, g in zip(hard, gain, strict=True)], hard)
    assert 0.8 <= difference.low < 1.0 < difference.high <= 1.2


def test_more_items_narrow_the_interval() -> None:
    few_items = paired_difference([0.0, 1.0] * 5, [0.0] * 10)
    many_items = paired_difference([0.0, 1.0] * 500, [0.0] * 1_000)
    assert many_items.high - many_items.low < (few_items.high - few_items.low) / 5
