"""Decisions about arms where they are hardest to get right: many arms, few items, odd controls."""

import numpy as np
import pytest

from loraflow.compare.arms import compare_arms
from loraflow.compare.recommend import recommend
from loraflow.compare.statistics import Array, ratio, weighted
from loraflow.compare.variance import estimate_noise
from tests.compare.test_arms import as_items, compared, few_draws, noisy, simulated

__all__ = ["few_draws"]
SIZES = {f"r={2**power}": float(2**power) for power in range(16)}


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("worse", [1, 7])
def test_of_many_arms_that_lose_the_margin_one_is_seldom_called_enough(worse: int) -> None:
    """One arm alone is best: of several, the highest number is too high, and errors are rare."""
    draw = np.random.default_rng(5)
    wrong, trials = 0, 300
    for _ in range(trials):
        arms = simulated(draw, "no seed noise", seeds=2, items=100)[: worse + 1]
        arms[:worse] -= 0.05
        found = recommend(compared(arms, 0.05), SIZES)
        wrong += found.kind == "enough" and found.arm != f"r={2**worse}"
    assert wrong / trials <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / trials)


@pytest.mark.usefixtures("few_draws")
def test_the_gain_over_the_base_model_is_in_its_interval_95_times_in_100() -> None:
    """With the noise of seeds, which the base has not, it would be 99 times and the gain missed."""
    draw = np.random.default_rng(11)
    held, trials, items = 0, 300, 60
    for _ in range(trials):
        shared = draw.normal(0.5, 0.15, items)
        of_seeds = draw.normal(0, 0.05, (7, 2, 1))
        trained = shared + of_seeds + draw.normal(0, 0.1, (7, 1, items))
        trained = trained + draw.normal(0, 0.1, trained.shape)
        base = shared + draw.normal(0, 0.1, items)
        sums = [[weighted(list(one)) for one in ones] for ones in ([base], *trained)]
        noise = estimate_noise(sums, ratio, seedless=[0])
        gaps = trained.mean(axis=(1, 2)) - base.mean()
        held += sum(
            abs(gap) <= noise.of_difference(0, arm).reach() for arm, gap in enumerate(gaps, 1)
        )
    assert 0.93 <= held / trials / 7 <= 0.97


def test_one_item_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="two prompts"):
        compared(noisy(3, 1, 1))


def test_an_arm_that_was_never_trained_is_no_comparison() -> None:
    arms = as_items(noisy(2, 1, 10))
    arms["r=1"] = []
    with pytest.raises(ValueError, match="each trained"):
        compare_arms(arms, "rougeL", margin=0.1)


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_the_interval_of_a_share_stays_a_share(answer: float) -> None:
    found = compared(np.full((2, 2, 30), answer), metric="accuracy").arms["r=1"].value
    assert 0 <= found.low <= answer <= found.high <= 1
    assert found.high - found.low > 0.05


def test_right_and_wrong_answers_are_equally_sure() -> None:
    draw = np.random.default_rng(2)
    right: Array = (draw.uniform(size=(3, 2, 40)) < 0.9).astype(float)
    there, back = (compared(arms, metric="accuracy").arms for arms in (right, 1 - right))
    for name, score in there.items():
        mirrored = (1 - back[name].value.high, 1 - back[name].value.low)
        assert (score.value.low, score.value.high) == pytest.approx(mirrored)


def test_the_control_that_is_named_is_the_one_inside_the_noise() -> None:
    arms = noisy(4, 1, 200)
    arms[0] -= 0.9
    arms[1] += arms[3].mean() - arms[1].mean() - 0.001  # just below an adapter
    arms[2] += arms[3].mean() - arms[2].mean() - 0.005
    found = recommend(compared(arms), SIZES, controls=["r=1", "r=2"])
    assert found.kind == "no gain"
    assert found.inside_noise == "r=2"
    assert "better than r=2" in found.sentence


def test_the_base_models_one_run_is_not_the_seeds_of_the_arms() -> None:
    arms = noisy(4, 3, 400) + np.array([-0.1, 0.0, 0.1])[:, None]
    arms[0] -= 0.8
    items = as_items(arms)
    items["r=1"] = items["r=1"][:1]
    found = recommend(compare_arms(items, "rougeL", margin=0.02), SIZES, controls=["r=1"])
    assert found.seeds_needed is not None
    pure = 0.01  # variance of -0.1, 0, 0.1
    assert found.seeds_needed > 2 * pure / (0.02 / 2.5) ** 2  # before any correction for many arms
    assert "seeds (now 3)" in found.sentence
