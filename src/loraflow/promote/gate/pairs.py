"""What two arms made of the same items, number beside number."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from loraflow.compare.metrics import Item, Metric


class CannotTell(Exception):
    """A guard has nothing to go by, so it fails; the message says what is missing."""


def has_value(metric: Metric, item: Item) -> bool:
    """Tell whether an item can be counted by the metric: all that it takes is a number."""
    return item.get(metric.needs) is not None and bool(np.isfinite(metric.of([item])).all())


def same_ids(champion: Sequence[Item], challenger: Sequence[Item]) -> bool:
    """Tell whether both arms have the same items in the same order."""
    return [item["id"] for item in champion] == [item["id"] for item in challenger]


def paired_numbers(
    champion: Sequence[Item] | None, challenger: Sequence[Item] | None, field: str
) -> tuple[list[float], list[float]]:
    """Return a field of all items of both arms.

    Raises:
        CannotTell: if an arm has no items, others than the other arm, or none of the field.
    """
    if not champion or not challenger:
        raise CannotTell("not measured")
    if not same_ids(champion, challenger):
        raise CannotTell("the arms have not answered the same items")
    first, second = (
        [float(item[field]) for item in arm if _is_number(item.get(field))]
        for arm in (champion, challenger)
    )
    if not first and not second:
        raise CannotTell("not measured")
    if missing := len(champion) + len(challenger) - len(first) - len(second):
        raise CannotTell(f"{missing} answers have no number")
    return first, second


def _is_number(value: Any) -> bool:
    return value is not None and math.isfinite(value)
