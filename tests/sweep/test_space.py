"""Dimensions are read as they are written, and every combination is an arm."""

from typing import Any

import pytest

from loraflow.errors import UserError
from loraflow.sweep.space import Range, combinations, name_values, named, read_dimensions


def test_every_combination_comes_once_and_the_last_dimension_varies_fastest() -> None:
    space = read_dimensions({"adapter.r": [1, 4], "adapter.target_modules": ["qv", "all"]}, "s")
    assert [tuple(one.values()) for one in combinations(space)] == [
        (1, "qv"),
        (1, "all"),
        (4, "qv"),
        (4, "all"),
    ]


def test_a_named_choice_sets_several_keys() -> None:
    (scale,) = read_dimensions({"scale": {"fixed": {"adapter.alpha": 16, "x.y": 1}}}, "sweep.space")
    assert scale.choice("fixed").sets == {"adapter.alpha": 16, "x.y": 1}
    assert scale.keys() == {"adapter.alpha", "x.y"}


@pytest.mark.parametrize(
    ("given", "whole"),
    [({"low": 1e-5, "high": 1e-3, "log": True}, False), ({"low": 1, "high": 64}, True)],
)
def test_a_range_knows_whether_it_is_of_whole_numbers(given: Any, whole: bool) -> None:
    (dimension,) = read_dimensions({"key": given}, "sweep.search.tune")
    assert isinstance(dimension.choices, Range)
    assert dimension.choices.is_whole is whole


def test_words_name_themselves_and_numbers_their_dimension() -> None:
    space = read_dimensions(
        {"adapter.r": [4], "adapter.target_modules": [["q_proj", "v_proj"]], "train.x": [0.0003]},
        "s",
    )
    (values,) = combinations(space)
    assert name_values(values, space) == "r=4 q_proj+v_proj x=0.0003"


def test_keys_that_end_alike_are_named_whole() -> None:
    values = {"adapter.alpha": 8, "lora.alpha": 16, "adapter.r": 4}
    space = read_dimensions({key: [value] for key, value in values.items()}, "s")
    assert name_values(values, space) == "adapter.alpha=8 lora.alpha=16 r=4"
    assert named(values, space) == {"adapter.alpha": 8, "lora.alpha": 16, "r": 4}


def test_rates_that_a_sampler_draws_close_together_have_names_of_their_own() -> None:
    (rate,) = read_dimensions({"train.x": {"low": 1e-5, "high": 1e-3, "log": True}}, "s")
    drawn = [0.000312341, 0.000312349]
    names = [name_values({"train.x": value}, [rate]) for value in drawn]
    assert names == ["x=0.000312341", "x=0.000312349"]


def test_a_chinese_name_is_a_name() -> None:
    space = read_dimensions({"数据": {"甲": {"data.path": "甲.json"}}}, "sweep.space")
    assert name_values({"数据": "甲"}, space) == "甲"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "is empty"),
        ([4, 4], "has a value twice"),
        ({"low": 3, "high": 1}, "has no numbers inside"),
        ({"low": 0, "high": 1, "log": True}, "above 0"),
        ({"low": "a", "high": 1}, "is no range"),
        ({"fixed": 3}, r"sweep\.space\.key\.fixed=3 sets nothing"),
    ],
)
def test_what_is_no_dimension_is_named(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_dimensions({"key": given}, "sweep.space")
