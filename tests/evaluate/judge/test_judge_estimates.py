"""A slope is that of least squares, or none at all."""

import numpy as np
import pytest

from loraflow.evaluate.judge.estimates import slope


def test_slope_is_that_of_least_squares() -> None:
    x, y = [1.0, 2.0, 3.0, 5.0], [1.0, 1.5, 4.0, 4.0]
    found = slope(x, y, seed=0)
    assert found is not None
    assert found.value == pytest.approx(np.polyfit(x, y, 1)[0])
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("x", [[], [1.0, 2.0], [4.0, 4.0, 4.0]])
def test_slope_that_cannot_be_told_is_none(x: list[float]) -> None:
    assert slope(x, [1.0] * len(x), seed=0) is None
