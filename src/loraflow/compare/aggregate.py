"""Numbers of a set of items with their intervals, and differences between two arms."""

from collections.abc import Mapping, Sequence

import numpy as np

from loraflow.compare.metrics import METRICS, Item, Metric, counted, prompts_of
from loraflow.compare.statistics import (
    Difference,
    Interval,
    clustered_share,
    interval,
    paired_interval,
    share_difference,
)


def aggregate(items: Sequence[Item]) -> dict[str, Interval]:
    """Return every metric that the items have, with its 95% interval."""
    found = {}
    for name, metric in METRICS.items():
        places = counted(metric, items)
        if places:
            found[name] = value_of(metric, [items[place] for place in places])
    return found


def differences(base: Sequence[Item], tuned: Sequence[Item]) -> dict[str, Difference]:
    """Return the paired difference, tuned minus base, of every metric that both arms have.

    Raises:
        ValueError: if the arms have not answered the same items.
    """
    if [item["id"] for item in base] != [item["id"] for item in tuned]:
        raise ValueError("the arms have not answered the same items, so they cannot be paired")
    found = {}
    for name, metric in METRICS.items():
        both = set(counted(metric, base)) & set(counted(metric, tuned))
        if both:
            arms = ([arm[place] for place in sorted(both)] for arm in (tuned, base))
            found[name] = difference_of(metric, *arms)
    return found


def value_of(metric: Metric, items: Sequence[Item]) -> Interval:
    """Return a metric of items that all have it, with its 95% interval.

    Items of one prompt are drawn together.
    """
    prompts = prompts_of(items)
    if metric.is_share:
        return clustered_share([float(item[metric.needs]) for item in items], prompts)
    return interval(metric.of(items), metric.value, clusters=prompts)


def difference_of(metric: Metric, tuned: Sequence[Item], base: Sequence[Item]) -> Difference:
    """Return tuned minus base of a metric, both of the same items, with its paired interval."""
    prompts = prompts_of(tuned)
    if metric.is_share:
        shares = ([float(item[metric.needs]) for item in arm] for arm in (tuned, base))
        return share_difference(*shares, clusters=prompts)
    together = metric.of([*tuned, *base])  # at once, so that both have the same sums
    first, second = np.split(together, [len(tuned)])
    return paired_interval(first, second, metric.value, clusters=prompts)


def paired(
    base: Sequence[Item], tuned: Sequence[Item] | None
) -> Mapping[str, tuple[Interval, Interval | None, Difference | None]]:
    """Return, metric by metric, the base's number, the tuned model's, and their difference."""
    of_base = aggregate(base)
    if tuned is None:
        return {name: (found, None, None) for name, found in of_base.items()}
    of_tuned, gaps = aggregate(tuned), differences(base, tuned)
    return {name: (of_base[name], of_tuned[name], gaps[name]) for name in gaps}
