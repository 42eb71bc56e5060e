"""The best is picked from the very numbers that it is compared by: intervals and tests allow it."""

import numpy as np
import pytest

from loraflow.compare.arms import compare_arms
from loraflow.compare.recommend import recommend
from tests.compare.test_arms import Arms, as_items, compared, few_draws, noisy, simulated

__all__ = ["few_draws"]


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("scenario", ["seed noise", "answers change with the seed"])
@pytest.mark.parametrize("arms", [2, 8])
def test_all_intervals_of_differences_hold_zero_95_times_in_100(scenario: str, arms: int) -> None:
    draw = np.random.default_rng(13)
    held, trials = 0, 200
    for _ in range(trials):
        found = compared(simulated(draw, scenario, seeds=2, items=60)[:arms])
        held += all(gap.difference.low <= 0 <= gap.difference.high for gap in found.gaps.values())
    assert held / trials >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / trials)


@pytest.mark.parametrize("seed", range(5))
def test_zero_lies_outside_an_interval_just_where_holm_tells_arms_apart(seed: int) -> None:
    arms = noisy(6, 2, 60, seed=seed) - np.array([0, 0, 0.02, 0.04, 0.06, 0.5])[:, None, None]
    found = compared(arms)
    for name, gap in found.gaps.items():
        assert gap.difference.is_clear == (gap.p_holm < 0.05) == ((found.best, name) in found.clear)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(("arms", "repeated"), [(8, 1), (3, 2), (2, 2)])
def test_few_repeated_trainings_call_equal_arms_worse_at_most_5_times_in_100(
    arms: int, repeated: int
) -> None:
    draw = np.random.default_rng(17)
    wrong, trials = 0, 300
    for _ in range(trials):
        items = as_items(simulated(draw, "seed noise", seeds=2, items=60)[:arms])
        once = {name: ones[:1] for name, ones in list(items.items())[repeated:]}
        found = compare_arms({**items, **once}, "rougeL", margin=0.02)
        wrong += any(gap.p_holm < 0.05 for gap in found.gaps.values())
    assert wrong / trials <= 0.05


def ask_four_times(arms: Arms) -> None:
    """Let four items in a row share a prompt."""
    for rows in arms.values():
        for place, item in enumerate(rows[0]):
            item["prompt_id"] = f"第{place // 4}问"


@pytest.mark.usefixtures("few_draws")
def test_rows_of_one_prompt_are_no_independent_items() -> None:
    """Of 40 prompts with four references each, a difference varies by prompts."""
    draw = np.random.default_rng(19)
    held, trials = 0, 500
    for _ in range(trials):
        by_prompt = np.repeat(draw.normal(0.5, 0.1, (2, 1, 40)), 4, axis=2)
        arms = as_items(by_prompt + draw.normal(0, 0.03, (2, 1, 160)))
        ask_four_times(arms)
        found = compare_arms(arms, "rougeL", margin=0.02)
        (gap,) = found.gaps.values()
        held += gap.difference.low <= 0 <= gap.difference.high
    assert (found.items, found.prompts) == (160, 40)
    assert 0.93 <= held / trials <= 0.97


@pytest.mark.usefixtures("few_draws")
def test_right_answers_to_rows_of_one_prompt_are_no_independent_ones() -> None:
    draw = np.random.default_rng(23)
    held, trials = 0, 300
    for _ in range(trials):
        chances = np.repeat(draw.beta(2, 1, (2, 1, 40)), 4, axis=2)
        arms = as_items((draw.uniform(size=chances.shape) < chances).astype(float), "correct")
        ask_four_times(arms)
        (gap,) = compare_arms(arms, "accuracy", margin=0.02).gaps.values()
        held += gap.difference.low <= 0 <= gap.difference.high
    assert 0.93 <= held / trials <= 0.97


def test_of_equal_arms_the_first_is_the_best() -> None:
    one = noisy(1, 1, 60)
    found = compared(np.concatenate([one, one, one - 0.5]))
    assert found.best == "r=1"
    sentence = recommend(found, {"r=1": 1, "r=2": 2, "r=4": 4}, controls=["r=4"]).sentence
    assert sentence.startswith("r=1 is the best, and no arm is smaller.")


def test_what_few_items_never_show_is_not_shown() -> None:
    right = [
        {"id": str(place), "reference": "a", "answer": "a", "correct": 1} for place in range(4)
    ]
    (gap,) = compare_arms({"r=1": [right], "r=2": [right]}, "f1", margin=0.02).gaps.values()
    assert (gap.p, gap.verdict) == (1, "cannot tell")
    many = [{**right[0], "id": str(place)} for place in range(200)]
    (gap,) = compare_arms({"r=1": [many], "r=2": [many]}, "f1", margin=0.02).gaps.values()
    assert gap.verdict == "equivalent"
