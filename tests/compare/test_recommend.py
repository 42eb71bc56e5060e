"""The recommendation: the smallest arm that is shown to be enough, or what it takes to know."""

from collections.abc import Sequence

import numpy as np
import pytest

from loraflow.compare.arms import compare_arms
from loraflow.compare.recommend import Recommendation, recommend
from tests.compare.test_arms import as_items, compared, few_draws, noisy, simulated

__all__ = ["few_draws"]
SIZES = {f"r={2**power}": float(2**power) for power in range(8)}


def recommended(
    lost: Sequence[float], *, items: int = 200, margin: float = 0.05, seeds: int = 2
) -> Recommendation:
    """Return what is recommended of arms that lose so much; the first is the base model."""
    arms = noisy(len(lost), seeds, items) - np.array(lost)[:, None, None]
    return recommend(compared(arms, margin), SIZES, controls=["r=1"])


def test_the_smallest_arm_within_the_margin_is_enough() -> None:
    found = recommended([0.4, 0.2, 0.02, 0.02, 0.0])
    assert (found.kind, found.arm) == ("enough", "r=4")
    assert "r=4 is enough" in found.sentence
    assert "r=2 is clearly worse" in found.sentence


def test_the_best_is_recommended_when_all_smaller_ones_are_worse() -> None:
    found = recommended([0.6, 0.4, 0.2, 0.0])
    assert (found.kind, found.arm) == ("best", "r=8")
    assert "every smaller arm is clearly worse" in found.sentence


def test_too_few_items_are_said_and_how_many_it_takes() -> None:
    found = recommended([0.9, 0.05, 0.05, 0.0], items=20, margin=0.01)
    assert found.kind == "cannot tell"
    assert found.inside_noise == "r=2"
    assert found.items_needed is not None
    assert found.items_needed > 200
    assert "would go unseen" in found.sentence
    assert f"about {found.items_needed:,} items (now 20)" in found.sentence


def test_seeds_are_asked_for_where_items_would_not_help() -> None:
    arms = noisy(4, 2, 400)
    arms[0] -= 0.8
    arms[:, 1] += 0.2
    found = recommend(compared(arms, 0.02), SIZES, controls=["r=1"])
    assert found.seeds_needed is not None
    assert found.seeds_needed > 2
    assert "seeds (now 2)" in found.sentence


def test_an_adapter_that_is_no_better_than_the_base_is_no_gain() -> None:
    found = recommended([0.0, 0.0, 0.0])
    assert (found.kind, found.arm) == ("no gain", None)
    assert "No adapter is clearly better than r=1" in found.sentence


def test_one_seed_is_said() -> None:
    assert "one seed" in recommended([0.4, 0.0, 0.0], seeds=1).sentence


def test_controls_alone_are_nothing_to_recommend() -> None:
    with pytest.raises(ValueError, match="nothing but controls"):
        recommend(compared(noisy(2, 1, 20)), SIZES, controls=["r=1", "r=2"])


@pytest.mark.usefixtures("few_draws")
def test_an_arm_worse_by_more_than_the_margin_is_seldom_called_enough() -> None:
    draw = np.random.default_rng(5)
    wrong = 0
    for _ in range(100):
        arms = simulated(draw, "seed noise", seeds=2, items=100)
        arms[0] -= 5
        arms[1:4] -= 0.05
        found = recommend(compared(arms, 0.05), SIZES, controls=["r=1"])
        wrong += found.kind == "enough" and found.arm in ("r=2", "r=4", "r=8")
    assert wrong <= 5


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_of_arms_of_one_size_the_nearest_to_the_best_is_recommended(
    order: Sequence[int],
) -> None:
    arms = noisy(4, 2, 400) - np.array([0.5, 0.0, 0.004, 0.009])[:, None, None]
    items = as_items(arms)
    names = ["r=1", *(f"r={2**place}" for place in order)]
    found = recommend(
        compare_arms({name: items[name] for name in names}, "rougeL", margin=0.05),
        {"r=1": 0.0, "r=2": 8.0, "r=4": 8.0, "r=8": 8.0},
        controls=["r=1"],
    )
    assert (found.kind, found.arm) == ("best", "r=2")
    assert found.sentence == "r=2 is the best, and no arm is smaller."


def test_a_gain_is_seen_though_the_highest_number_is_too_noisy_for_one() -> None:
    draw = np.random.default_rng(1)
    base = draw.normal(0.4, 0.2, 60)
    steady, wild = base + draw.normal(0.03, 0.01, 60), base + draw.normal(0, 0.9, 60)
    wild += 0.05 + base.mean() - wild.mean()
    comparison = compared(np.array([[base], [steady], [wild]]), 0.001)
    assert comparison.best == "r=4"
    found = recommend(comparison, SIZES, controls=["r=1"])
    assert (found.kind, found.inside_noise) == ("cannot tell", "r=2")


def test_it_is_said_if_the_base_was_not_compared() -> None:
    arms = noisy(2, 2, 200)
    assert "base model is not among" in recommend(compared(arms), SIZES).sentence
    assert "base model" not in recommended([0.4, 0.0, 0.0]).sentence
