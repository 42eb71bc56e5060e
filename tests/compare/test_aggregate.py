"""Numbers of a set come from its items, and differences from the same items of both arms."""

from typing import Any

import pytest

from loraflow.compare.aggregate import aggregate, differences, paired


def item(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, **fields}


BASE = [
    item("1", rouge1=0.0, loss=3.0, tokens=1, cut=1.0),
    item("2", rouge1=0.5, loss=4.0, tokens=2, cut=0.0),
]
TUNED = [
    item("1", rouge1=1.0, loss=3.0, tokens=1, cut=0.0),
    item("2", rouge1=0.5, loss=1.0, tokens=2, cut=0.0),
]


def test_a_loss_is_weighted_by_tokens() -> None:
    found = aggregate(BASE)
    assert found["loss"].value == pytest.approx((3 + 2 * 4) / 3)
    # the second item has two of the three tokens: (1 * 0 + 2 * -3) / 3
    assert differences(BASE, TUNED)["loss"].mean == pytest.approx(-2.0)


def test_a_difference_is_that_of_the_numbers() -> None:
    for name, (base, tuned, gap) in paired(BASE, TUNED).items():
        assert tuned is not None and gap is not None, name
        assert gap.mean == pytest.approx(tuned.value - base.value)
        assert gap.low <= gap.mean <= gap.high


def test_an_arm_alone_has_no_difference() -> None:
    assert {tuned for _, tuned, _ in paired(BASE, None).values()} == {None}


def test_items_without_a_value_are_not_counted() -> None:
    rated = [item("1", judge_rating=8.0), item("2", judge_rating=None), item("3", judge_rating=6.0)]
    assert aggregate(rated)["judge_rating"].value == 7.0
    other = [item("1", judge_rating=None), item("2", judge_rating=1.0), item("3", judge_rating=9.0)]
    assert differences(rated, other)["judge_rating"].mean == 3.0


def test_other_items_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same items"):
        differences(BASE, TUNED[::-1])
    with pytest.raises(ValueError, match="same items"):
        differences(BASE, TUNED[:1])


def test_shares_have_an_interval_of_their_own() -> None:
    found = aggregate([item(str(n), cut=0.0) for n in range(100)])["cut_share"]
    assert found.value == 0.0
    assert found.low == pytest.approx(0.0, abs=1e-9)
    assert 0.03 < found.high < 0.05


@pytest.mark.parametrize("metric", ["rouge1", "cut_share"])
def test_rows_of_one_prompt_make_no_number_surer(metric: str) -> None:
    field = {"cut_share": "cut"}.get(metric, metric)
    values = [float(place % 3 == 0) for place in range(90)]
    once = [item(str(n), **{field: value}) for n, value in enumerate(values)]
    again = [{**one, "id": f"{one['id']}'", "prompt_id": one["id"]} for one in once]
    rows = [{**one, "prompt_id": one["id"]} for one in once] + again
    others = [{**one, field: 0.0} for one in rows]
    alone, twice = aggregate(once)[metric], aggregate(rows)[metric]
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.1)
    alone_gap = differences([{**one, field: 0.0} for one in once], once)[metric]
    twice_gap = differences(others, rows)[metric]
    assert twice_gap.high - twice_gap.low == pytest.approx(alone_gap.high - alone_gap.low, rel=0.15)
