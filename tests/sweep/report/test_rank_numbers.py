"""The rank report's numbers in MLflow, and its table on the Prefect dashboard."""

import re
from dataclasses import replace

from loraflow.sweep.report.numbers import metrics_of, table_of
from tests.sweep.report.rank_pages import page_of, realistic_page, unfinished

NONE_FINISHED = page_of([unfinished("r=4", {"r": 4}, 0, "failed", "no memory")], {"r": [4]})


def test_the_metrics_are_of_the_best_arm_and_count_every_state() -> None:
    page = realistic_page()
    assert page.comparison is not None
    best = page.comparison.arms[page.comparison.best].value
    metrics = metrics_of(page)
    assert metrics["sweep/best_rougeL"] == best.value
    assert metrics["sweep/best_rougeL_low"] == best.low
    assert [metrics[f"sweep/{state}"] for state in ("finished", "pruned", "failed")] == [43, 0, 1]


def test_the_table_has_the_best_arm_first_and_alone_without_a_difference() -> None:
    page = realistic_page()
    assert page.comparison is not None
    best, *others = table_of(page)
    assert (best["arm"], best["verdict"]) == (page.comparison.best, "best")
    assert best["minus the best"] == ""
    assert all(row["minus the best"] for row in others)
    assert len(others) == len(page.comparison.arms) - 1


def test_the_table_has_as_many_digits_as_the_metric() -> None:
    best, *_ = table_of(replace(realistic_page(), metric="chrf"))
    assert re.fullmatch(r"\d+\.\d \(\d+\.\d to \d+\.\d\)", best["chrf"])


def test_nothing_finished_gives_counts_alone() -> None:
    assert metrics_of(NONE_FINISHED) == {"sweep/finished": 0, "sweep/pruned": 0, "sweep/failed": 1}
    assert table_of(NONE_FINISHED) == []
