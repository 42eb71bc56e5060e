"""As many items as are asked for settle whether an arm is enough, in 80 of 100 cases or more."""

import numpy as np
import pytest

from loraflow.compare.arms import compare_arms
from loraflow.compare.recommend import Recommendation, recommend
from loraflow.compare.statistics import Array
from tests.compare.test_arms import as_items, compared, few_draws, noisy

__all__ = ["few_draws"]


def recommended(arms: Array, margin: float = 0.03) -> Recommendation:
    """Compare arms of which the first is the base model."""
    items = as_items(arms)
    found = compare_arms(items, "rougeL", margin=margin, seedless=["r=1"])
    return recommend(found, {name: float(name[2:]) for name in items}, controls=["r=1"])


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(("adapters", "seeds"), [(2, 2), (3, 2), (6, 3), (3, 1)])
def test_the_items_that_are_asked_for_settle_it(adapters: int, seeds: int) -> None:
    draw = np.random.default_rng(2)

    def once(items: int) -> Recommendation:
        noise = draw.normal(0, 0.1, (adapters + 1, 1, items))
        arms = draw.normal(0.5, 0.15, items) + noise
        arms = arms + draw.normal(0, 0.1, (adapters + 1, seeds, items))
        arms[0] -= 0.5
        return recommended(arms)

    asked = [found.items_needed for found in (once(60) for _ in range(60)) if found.items_needed]
    again = [once(int(np.median(asked))) for _ in range(150)]
    settled = np.mean([found.arm == found.inside_noise for found in again])
    assert settled >= 0.75  # 80 but for the draws; more where many arms share the 20


def test_arms_that_no_item_tells_apart_need_as_many_as_show_that_few_differ() -> None:
    one = noisy(1, 1, 60)
    arms = np.concatenate([one - 0.9, one, one, one])
    names = {"r=1": 1.0, "r=2": 4.0, "r=4": 2.0, "r=8": 3.0}  # the best is not the smallest
    found = recommend(compared(arms), names, controls=["r=1"])
    assert (found.kind, found.inside_noise) == ("cannot tell", "r=4")
    assert found.items_needed == 203  # 0.98 ** 203 = 0.05 / 3: three arms are not shown
