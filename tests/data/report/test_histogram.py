"""Every row is in one bar, and what is drawn stands where the axis says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.report.histogram import draw_histogram, round_ticks

LENGTHS = st.lists(st.integers(0, 5_000), max_size=60)


@given(LENGTHS, LENGTHS, st.one_of(st.none(), st.integers(8, 8_192)))
def test_every_row_is_in_one_bin(train: list[int], held_out: list[int], limit: int | None) -> None:
    plot = draw_histogram(np.array(train, int), np.array(held_out, int), limit=limit, width=470)
    for part in plot.bins:
        high = 10**9 if part.up_to is None else part.up_to
        low = part.above if part.above else -1
        assert part.train == sum(low < length <= high for length in train)
        assert part.held_out == sum(low < length <= high for length in held_out)
    assert sum(part.train for part in plot.bins) == len(train)
    assert sum(part.held_out for part in plot.bins) == len(held_out)


@given(LENGTHS, LENGTHS)
def test_bars_stay_inside_the_drawing(train: list[int], held_out: list[int]) -> None:
    plot = draw_histogram(np.array(train, int), np.array(held_out, int), limit=512, width=960)
    for part in plot.bins:
        assert plot.left <= plot.x(part.above) <= plot.right
        assert plot.top <= plot.y(part.train_share) <= plot.base
        assert plot.top <= plot.y(part.held_out_share) <= plot.base
    assert all(plot.left <= tick.at <= plot.right for tick in plot.across)


def test_a_bin_ends_at_the_limit() -> None:
    cut = np.array([100, 400, 512, 512])
    plot = draw_histogram(cut, cut, limit=512, width=960)
    assert plot.bins[-1].up_to == 512
    assert plot.bins[-1].train == 2
    assert plot.x(512) == plot.right


def test_one_very_long_row_does_not_flatten_the_others() -> None:
    lengths = np.array([*range(1, 200), 100_000])
    plot = draw_histogram(lengths, lengths, limit=200_000, width=960)
    assert plot.bins[-1].up_to is None
    assert plot.bins[-1].above < 400
    assert not plot.shows(200_000)


def test_without_held_out_rows_no_line_is_drawn() -> None:
    plot = draw_histogram(np.array([1, 2, 3]), np.array([], int), limit=None, width=470)
    assert plot.line == ""


def test_ticks_are_round() -> None:
    assert list(round_ticks(1299, 5)) == [0, 500, 1000]
    assert list(round_ticks(7, 5)) == [0, 2, 4, 6]
