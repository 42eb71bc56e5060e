"""Intervals and paired differences, on numbers that can be checked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from loraflow.compare.statistics import (
    Difference,
    Interval,
    clustered_share,
    interval,
    mean_interval,
    paired_difference,
    share_difference,
    share_interval,
)

scores = st.floats(-100, 100).map(lambda score: round(score, 3))
pairs = st.lists(st.tuples(scores, scores, st.integers(1, 50)), min_size=2, max_size=20)
few = settings(max_examples=40, deadline=None)


def test_same_gain_everywhere_has_no_width() -> None:
    found = paired_difference([2.0, 3.0, 5.0], [1.0, 2.0, 4.0])
    assert vars(found) == pytest.approx(vars(Difference(1.0, 1.0, 1.0)))


def test_two_items_leave_nearly_everything_open() -> None:
    """Student's t with one degree of freedom: 12.7 times the standard error of 1."""
    found = paired_difference([0.0, 2.0], [0.0, 0.0])
    assert (found.mean, found.low, found.high) == pytest.approx((1.0, -11.706, 13.706), abs=1e-3)
    assert not paired_difference([-5.08, -5.03], [0.0, 0.0]).high < -5.2


def test_one_item_has_no_interval() -> None:
    found = paired_difference([3.0], [0.0])
    assert found.mean == 3.0
    assert np.isnan(found.low) and np.isnan(found.high)
    assert not found.is_clear


def test_mean_is_weighted() -> None:
    difference = paired_difference([0.0, 4.0], [0.0, 0.0], weights=[3, 1])
    assert difference.mean == 1.0


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


@given(st.lists(scores, min_size=2, max_size=20))
@few
def test_equal_arms_differ_by_zero(scores: list[float]) -> None:
    assert vars(paired_difference(scores, scores)) == pytest.approx(vars(Difference(0, 0, 0)))


def test_equal_shares_may_differ_all_the_same() -> None:
    """A bootstrap of a hundred equal pairs would claim to know that there is no difference."""
    found = share_difference([1.0] * 100, [1.0] * 100)
    assert found.mean == 0
    assert -0.05 < found.low < 0 < found.high < 0.05


def test_the_interval_of_a_difference_of_clustered_shares_holds_the_truth() -> None:
    generator = np.random.default_rng(9)
    held, trials, clusters = 0, 1_000, np.arange(120) // 4
    for _ in range(trials):
        chances = np.repeat(generator.beta(2, 1, (2, 30)), 4, axis=1)
        both = (generator.random(chances.shape) < chances).astype(float)
        found = share_difference(list(both[0]), list(both[1]), clusters=list(clusters))
        held += found.low <= 0 <= found.high
    assert 0.93 <= held / trials <= 0.97
    assert share_difference(*both, clusters=range(120)) == share_difference(*both)


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


def test_a_share_has_wilsons_interval_and_a_width_at_the_ends() -> None:
    assert share_interval(50, 50).low == pytest.approx(50 / (50 + 1.96**2), abs=1e-3)
    assert share_interval(0, 50).high == pytest.approx(1.96**2 / (50 + 1.96**2), abs=1e-3)
    found = stats.binomtest(7, 20).proportion_ci(0.95, method="wilson")
    wilson = share_interval(7, 20)
    assert (wilson.low, wilson.high) == pytest.approx((found.low, found.high))


def test_a_mean_whose_values_could_be_shares_is_none() -> None:
    """Ratings that are all 1 are the worst there is, and below them is no rating."""
    found = mean_interval([1.0] * 20, clusters=[n // 2 for n in range(20)])
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert paired_difference([1.0] * 10, [0.0] * 10) == Difference(1, 1, 1)


def test_a_share_of_items_that_are_alone_is_wilsons() -> None:
    assert clustered_share([1.0, 0.0, 1.0, 1.0], list("abcd")) == share_interval(3, 4)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_clusters_that_all_agree_are_no_certainty(value: float) -> None:
    found = clustered_share([value] * 20, [n // 2 for n in range(20)])
    assert found == share_interval(10 * value, 10)
    assert found.high - found.low > 0.2


def test_a_share_of_few_clusters_stays_between_0_and_1() -> None:
    """The jackknife alone would reach from 0.62 to 1.18, and from -0.18 to 0.38."""
    clusters = [n // 2 for n in range(10)]
    mostly, hardly = (clustered_share([one] * 9 + [1 - one], clusters) for one in (1.0, 0.0))
    assert (mostly.value, mostly.high, hardly.low) == (0.9, 1.0, 0.0)
    assert 0.6 < mostly.low < 0.65 and 0.35 < hardly.high < 0.4


def test_items_of_a_cluster_widen_the_interval_of_a_share() -> None:
    won = list(np.random.default_rng(0).integers(2, size=40).astype(float))
    apart = clustered_share(won * 6, range(240))
    together = clustered_share(won * 6, [*range(40)] * 6)
    assert together.value == apart.value == np.mean(won)
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_interval_of_a_clustered_share_holds_the_truth() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        chance = generator.beta(2, 1, size=40)  # of a cluster; 2/3 on average
        won = generator.random((5, 40)) < chance
        found = clustered_share(list(won.ravel().astype(float)), [*range(40)] * 5, seed=seed)
        held += found.low <= 2 / 3 <= found.high
    assert held >= 180


def test_items_of_a_cluster_are_no_independent_evidence() -> None:
    values = [float(n * n % 7) for n in range(30)]
    single = mean_interval(values)
    doubled = mean_interval([*values, *values], clusters=[*range(30), *range(30)])
    assert vars(doubled) == pytest.approx(vars(single))
    assert mean_interval([*values, *values]).low > single.low


def test_any_function_of_sums_has_an_interval() -> None:
    sums = np.array([[1.0, 2.0], [3.0, 4.0], [2.0, 1.0]])
    found = interval(sums, lambda sums: np.exp(sums[..., 0] / sums[..., 1]))
    assert found.value == pytest.approx(np.exp(6 / 7))
    assert found.low < found.value < found.high


def test_an_interval_shows_itself() -> None:
    assert f"{Interval(0.2694, 0.231, 0.31):.2f}" == "0.27 (0.23 to 0.31)"
    assert Interval(0.95, 0.9, 0.98).as_share() == "95% (90 to 98%)"


@pytest.mark.parametrize("count", [10, 40])
def test_intervals_hold_the_truth_as_often_as_they_say(count: int) -> None:
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        reference = generator.normal(size=count)
        found = paired_difference(
            list(reference + generator.normal(size=count)), list(reference), seed=seed % 3
        )
        held += found.low <= 0 <= found.high
    assert 0.92 <= held / 300 <= 0.98


def test_differences_of_shares_hold_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(1_000):
        both = generator.random((2, 60)) < 0.9
        found = share_difference(list(both[0].astype(float)), list(both[1].astype(float)))
        held += found.low <= 0 <= found.high
    assert held / 1_000 >= 0.93
