"""Intervals hold the truth as often as they say."""

import numpy as np
import pytest

from loraflow.compare.statistics import share_interval
from loraflow.evaluate.judge.estimates import clustered_share, slope


def test_clusters_of_equal_trials_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    won = generator.integers(2, size=40)
    apart = clustered_share(list(np.repeat(won, 6)), [1] * 240, seed=0)
    together = clustered_share(list(won * 6), [6] * 40, seed=0)
    assert together.value == apart.value == won.mean()
    assert together.high - together.low > 2 * (apart.high - apart.low)


@pytest.mark.parametrize("won", [0, 3])
def test_clusters_that_all_agree_are_no_certainty(won: int) -> None:
    share = clustered_share([won] * 5, [3] * 5, seed=0)
    assert share == share_interval(5 * won // 3, 5)


def test_interval_of_clusters_holds_the_truth() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        chance = generator.beta(2, 1, size=40)  # of a row; 2/3 on average
        found = clustered_share(list(generator.binomial(5, chance)), [5] * 40, seed=seed)
        held += found.low <= 2 / 3 <= found.high
    assert held >= 180


def test_slope_is_that_of_least_squares() -> None:
    x, y = [1.0, 2.0, 3.0, 5.0], [1.0, 1.5, 4.0, 4.0]
    found = slope(x, y, seed=0)
    assert found is not None
    assert found.value == pytest.approx(np.polyfit(x, y, 1)[0])
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("x", [[], [1.0, 2.0], [4.0, 4.0, 4.0]])
def test_slope_that_cannot_be_told_is_none(x: list[float]) -> None:
    assert slope(x, [1.0] * len(x), seed=0) is None
