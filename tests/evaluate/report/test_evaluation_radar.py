"""The radar is drawn where there is a shape to draw, and stays inside its rings."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from loraflow.compare.statistics import Interval
from loraflow.evaluate.report.content import Score
from loraflow.evaluate.report.radar import Point, Radar, draw_radar


def categories(*ratings: float, reach: float = 0.5) -> list[Score]:
    return [
        Score(f"分类{n}", "", True, found, found, None, items=10)
        for n, value in enumerate(ratings)
        for found in [Interval(value, value - reach, value + reach)]
    ]


def drawn(scores: Sequence[Score]) -> Radar:
    plot = draw_radar(scores)
    assert plot is not None
    return plot


def distance(one: Point, other: Point) -> float:
    return math.dist(one, other)


def test_two_categories_have_no_shape() -> None:
    assert draw_radar(categories(3, 4)) is None
    assert draw_radar([]) is None


def test_a_number_that_is_not_finite_is_not_drawn() -> None:
    assert draw_radar(categories(3, 4, math.nan)) is None


@pytest.mark.parametrize(("highest", "top"), [(3.0, 4), (5.5, 6), (7.4, 8), (9.4, 10), (9.8, 10)])
def test_the_outer_ring_holds_the_highest_interval(highest: float, top: int) -> None:
    assert drawn(categories(2, 2, highest)).top == top


def test_values_stand_on_their_spokes_in_proportion() -> None:
    plot = drawn(categories(1, 2, 3, 4, reach=0.0))
    outer = plot.rings[-1].radius
    for whisker, value in zip(plot.whiskers[:4], (1, 2, 3, 4), strict=True):
        assert distance(whisker.at, plot.centre) == pytest.approx(outer * value / 4, abs=0.2)
    assert plot.whiskers[0].at[0] == plot.centre[0]  # the first spoke points up
    assert plot.whiskers[0].at[1] < plot.centre[1]


def test_names_stay_inside_the_drawing_and_whiskers_apart() -> None:
    plot = drawn(categories(*[5.0] * 8))
    assert all(0 < name.at[0] < plot.width and 0 < name.at[1] < plot.height for name in plot.names)
    base, tuned = plot.whiskers[0], plot.whiskers[8]
    assert (base.arm, tuned.arm) == ("base", "tuned")
    assert distance(base.low, tuned.low) == pytest.approx(8, abs=0.2)


def test_one_arm_has_one_shape() -> None:
    scores = [replace(score, tuned=None) for score in categories(3, 4, 5)]
    assert [arm for arm, _ in drawn(scores).shapes] == ["base"]
