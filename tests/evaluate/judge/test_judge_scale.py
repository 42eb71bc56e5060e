"""A scale rises with the raw value and stays between 1 and 10."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from loraflow.evaluate.judge.scale import Scale

RAW = st.floats(-1e6, 1e6)


@settings(deadline=None)
@given(st.lists(RAW, max_size=9), st.lists(RAW, max_size=9), RAW, RAW)
def test_scale_is_monotone_and_bounded(
    genuine: list[float], spoilt: list[float], one: float, other: float
) -> None:
    scale = Scale.fit(genuine, spoilt)
    low, high = sorted([one, other])
    assert 1 <= scale.rating(low) <= scale.rating(high) <= 10


def test_scale_is_nine_times_the_probability_plus_one() -> None:
    genuine, spoilt = [2.0, 3.0, -1.0], [0.0, -2.0, 1.0, -1.5, -3.0]
    raw = [*genuine, *spoilt]
    middle = sum(raw) / len(raw)
    width = (sum((x - middle) ** 2 for x in raw) / len(raw)) ** 0.5
    model = LogisticRegression(class_weight="balanced")
    model.fit([[(x - middle) / width] for x in raw], [1] * 3 + [0] * 5)
    expected = 1 + 9 * model.predict_proba([[(1.7 - middle) / width]])[0, 1]
    assert Scale.fit(genuine, spoilt).rating(1.7) == pytest.approx(expected)


def test_unbalanced_sides_count_the_same() -> None:
    scale = Scale.fit([1.0], [-1.0] * 50)
    assert scale.rating(0.0) == pytest.approx(5.5, abs=0.5)


def test_judge_worse_than_chance_gets_the_neutral_scale() -> None:
    scale = Scale.fit([0.0, 1.0], [5.0, 6.0])
    assert scale == Scale.neutral()
    assert scale.rating(100.0) == scale.rating(-100.0) == 5.5


def test_scale_comes_back_from_json() -> None:
    scale = Scale.fit([1.0, 2.0], [0.0, -1.0])
    assert Scale.from_dict(scale.as_dict()) == scale
