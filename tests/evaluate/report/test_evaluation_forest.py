"""What stands right of the middle is better, and a verdict needs an interval without zero."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.compare.statistics import Difference, Interval
from loraflow.evaluate.report.content import Score
from loraflow.evaluate.report.forest import (
    against_chance,
    draw_rows,
    draw_rows_alike,
    mark_share,
)

NUMBERS = st.floats(-1e6, 1e6)


def score(low: float, high: float, larger_is_better: bool | None = True) -> Score:
    gap = Difference((low + high) / 2, low, high)
    one = Interval(1.0, 0.5, 1.5)
    return Score("name", "", larger_is_better, one, one, gap, items=9)


@pytest.mark.parametrize(
    ("low", "high", "larger", "verdict"),
    [
        (0.1, 0.2, True, "better"),
        (-0.2, -0.1, True, "worse"),
        (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, False, "better"),
        (0.1, 0.2, None, "changed"),
        (-0.1, 0.2, True, "unclear"),
        (0.0, 0.2, True, "unclear"),
        (-0.1, 0.2, None, "unclear"),
    ],
)
def test_a_verdict_follows_from_the_interval(
    low: float, high: float, larger: bool | None, verdict: str
) -> None:
    (row,) = draw_rows([score(low, high, larger)])
    assert row.verdict is not None
    assert row.verdict.name == verdict


@given(NUMBERS, NUMBERS, st.sampled_from([True, False, None]))
def test_better_stands_right_of_the_middle_and_inside(
    one: float, other: float, larger: bool | None
) -> None:
    (row,) = draw_rows([score(min(one, other), max(one, other), larger)])
    assert row.mark is not None
    assert 0 <= row.mark.low <= row.mark.at + 0.01 <= row.mark.low + row.mark.width + 0.02 <= 100.02
    if row.verdict and row.verdict.name == "better":
        assert row.mark.at > 50
    if row.verdict and row.verdict.name == "worse":
        assert row.mark.at < 50


def test_rows_of_one_unit_share_a_scale() -> None:
    scores = [score(-1.0, 1.0), score(-0.1, 0.1)]
    assert [row.mark and round(row.mark.width) for row in draw_rows(scores)] == [89, 89]
    assert [row.mark and round(row.mark.width) for row in draw_rows_alike(scores)] == [89, 9]


def test_what_is_not_finite_is_not_drawn() -> None:
    (row,) = draw_rows([replace(score(0, 1), difference=Difference(1.0, -math.inf, math.inf))])
    assert row.mark is None
    assert row.verdict is None
    assert mark_share(Interval(math.nan, math.nan, math.nan)) is None


def test_a_row_tells_its_numbers_and_its_reservation() -> None:
    (row,) = draw_rows([replace(score(0.1, 0.3), note="careful")])
    assert row.told == (
        "name: base 1.000, tuned 1.000, difference +0.200, 95% interval +0.100 to +0.300, "
        "over 9 items, better, careful"
    )
    assert row.look == "better reserved"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.51, 0.7, "better than chance"), (0.3, 0.49, "worse than chance"), (0.4, 0.6, "may be")],
)
def test_an_accuracy_is_held_against_one_half(low: float, high: float, word: str) -> None:
    assert word in against_chance(Interval((low + high) / 2, low, high)).word
