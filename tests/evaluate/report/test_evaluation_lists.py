"""What the script sorts and filters by is valid JSON, whatever the names are."""

import json
import math
import re
from typing import Any

import pytest

from loraflow.compare.statistics import Interval
from loraflow.evaluate.report.content import Conversation, EvaluationPage, Item, Score, Turn
from loraflow.evaluate.report.lists import Listing, Metric, list_conversations, list_items
from loraflow.evaluate.report.numbers import plain, signed
from loraflow.evaluate.report.render import render_evaluation
from loraflow.evaluate.report.shown import change, is_long
from tests.evaluate.report.evaluation_pages import realistic_page
from tests.evaluate.report.outline import Outline

ONE = Interval(1.0, 0.5, 1.5)
LOSS = Score("loss", "", False, ONE, ONE, None, items=2, digits=2)


def item(name: str, **scores: tuple[float, float | None]) -> Item:
    return Item(name, "q", "r", {"base": "a"}, scores)


def talk(category: str, *ratings: tuple[float | None, float | None]) -> Conversation:
    turns = [Turn("q", "", {}, {"base": base, "tuned": tuned}, {}) for base, tuned in ratings]
    return Conversation("1", category, turns)


def read(listing: Listing) -> dict[str, Any]:
    found = json.loads(listing.data)
    assert isinstance(found, dict)
    return found


def test_items_have_their_numbers_in_the_order_of_the_metrics() -> None:
    items = [item("1", loss=(2.0, 1.5), rougeL=(0.1, 0.2)), item("2", rougeL=(0.3, 0.1))]
    found = read(list_items(items, [LOSS]))
    assert found["metrics"] == [
        {"name": "loss", "larger": False},
        {"name": "rougeL", "larger": None},
    ]
    assert found["scores"] == [[[2.0, 1.5], [0.1, 0.2]], [[None, None], [0.3, 0.1]]]
    assert found["paired"]


def test_numbers_that_json_lacks_are_null() -> None:
    found = read(list_items([item("1", loss=(math.inf, math.nan))], [LOSS]))
    assert found["scores"] == [[[None, None]]]


def test_one_arm_is_not_paired() -> None:
    assert not read(list_items([item("1", loss=(2.0, None))], [LOSS]))["paired"]


def test_names_cannot_end_the_script() -> None:
    name = "</script><!--\u2028 & \ud83d 指标"
    data = str(list_items([item("1", **{name: (1.0, 2.0)})], []).data)
    assert not re.search("[<>&\u2028\ud83d]", data)
    assert json.loads(data)["metrics"][0]["name"] == name


def test_half_rated_conversations_have_no_average() -> None:
    listing = list_conversations(
        [talk("writing", (3.0, 4.0), (5.0, None)), talk("math", (2.0, 1.0)), talk("writing")]
    )
    assert [metric.name for metric in listing.metrics] == ["average", "turn 1", "turn 2"]
    assert listing.scores == [
        [(4.0, None), (3.0, 4.0), (5.0, None)],
        [(2.0, 1.0), (2.0, 1.0), (None, None)],
        [(None, None)] * 3,
    ]
    assert read(listing)["groups"] == [0, 1, 0]


def test_the_page_holds_as_many_numbers_as_rows() -> None:
    data = Outline(render_evaluation(realistic_page(12))).data
    assert set(data) == {"items", "conversations"}
    assert len(data["items"]["scores"]) == 12
    assert len(data["conversations"]["scores"]) == len(data["conversations"]["groups"]) == 160


def test_items_without_scores_can_be_filtered_and_not_sorted() -> None:
    html = render_evaluation(EvaluationPage("t", items=[item("1")]))
    assert "data-filter" in html.partition("<script>")[0]
    assert "<select data-order" not in html


@pytest.mark.parametrize(
    ("pair", "larger", "shown"),
    [
        ((0.1, 0.3), True, "▲ +0.20"),
        ((0.3, 0.1), True, "▼ \u22120.20"),
        ((2.0, 1.5), False, "▲ \u22120.50"),
        ((0.1, 0.3), None, "+0.20"),
        ((0.1, 0.1001), True, "="),
        ((0.1, None), True, ""),
        ((math.nan, 1.0), True, ""),
    ],
)
def test_a_change_tells_gain_from_loss(
    pair: tuple[float | None, float | None], larger: bool | None, shown: str
) -> None:
    assert change(pair, Metric("name", larger, 2)) == shown


@pytest.mark.parametrize(
    ("value", "plainly", "with_sign"),
    [
        (0.1234, "0.12", "+0.12"),
        (-0.1234, "\u22120.12", "\u22120.12"),
        (-0.001, "0.00", "0.00"),
        (1234.5, "1,234.50", "+1,234.50"),
        (math.inf, "∞", "+∞"),
        (-math.inf, "\u2212∞", "\u2212∞"),
        (math.nan, "–", "–"),  # noqa: RUF001 - the dash of a missing number
        (None, "–", "–"),  # noqa: RUF001
    ],
)
def test_numbers_are_written_alike(value: float | None, plainly: str, with_sign: str) -> None:
    assert plain(value, 2) == plainly
    assert signed(value, 2) == with_sign


def test_texts_are_long_by_lines_and_by_letters() -> None:
    assert not is_long("word " * 30, 60)
    assert is_long("line\n" * 12, 60)
    assert is_long("word " * 150, 60)
    assert is_long("家父是大理寺少卿" * 40, 60)
    assert not is_long("家父是大理寺少卿" * 10, 60)
