"""The probes of general ability are well formed, and their answers are right."""

import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import loraflow.evaluate
from loraflow.files import read_lines
from tests.evaluate.probe_solutions import SOLUTIONS

KINDS = ("knowledge", "arithmetic", "language", "common_sense", "reading")
FUNCTION_WORDS = {"a", "the", "in", "on", "at", "by", "of"}
PROBES = Path(loraflow.evaluate.__file__).with_name("probes")
SETS = {language: read_lines(PROBES / f"{language}.jsonl") for language in ("en", "zh")}
ITEMS = [pytest.param(item, id=item["id"]) for items in SETS.values() for item in items]


def of_kind(kind: str) -> list[Any]:
    return [param for param in ITEMS if f"-{kind}-" in str(param.id)]


@pytest.mark.parametrize("language", SETS)
def test_each_kind_has_24_items_numbered_in_order(language: str) -> None:
    expected = [(f"{language}-{kind}-{n:02}", kind) for kind in KINDS for n in range(1, 25)]
    assert [(item["id"], item["kind"]) for item in SETS[language]] == expected


@pytest.mark.parametrize("language", SETS)
def test_no_question_is_asked_twice(language: str) -> None:
    questions = Counter(item["question"] for item in SETS[language])
    assert max(questions.values()) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", SETS)
def test_answers_are_spread_over_the_places(language: str, kind: str) -> None:
    places = Counter(item["answer"] for item in SETS[language] if item["kind"] == kind)
    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) >= 4


@pytest.mark.parametrize("language", SETS)
def test_the_right_choice_is_not_given_away_by_its_length(language: str) -> None:
    longest = [
        len(item["choices"][item["answer"]]) > max(map(len, wrong_choices(item)))
        for item in SETS[language]
    ]
    assert sum(longest) < len(longest) / 4


@pytest.mark.parametrize("item", ITEMS)
def test_an_item_has_four_distinct_choices(item: dict[str, Any]) -> None:
    assert list(item) == ["id", "kind", "question", "choices", "answer"]
    assert len(item["choices"]) == len({choice.casefold() for choice in item["choices"]}) == 4
    assert all(text == text.strip() != "" for text in (item["question"], *item["choices"]))


def test_every_arithmetic_item_is_solved_here() -> None:
    assert [param.id for param in of_kind("arithmetic")] == list(SOLUTIONS)


@pytest.mark.parametrize("item", of_kind("arithmetic"))
def test_the_right_choice_alone_equals_the_solution(item: dict[str, Any]) -> None:
    equal = [number_in(choice) == SOLUTIONS[item["id"]] for choice in item["choices"]]
    assert equal == [place == item["answer"] for place in range(4)]


@pytest.mark.parametrize("item", of_kind("reading"))
def test_the_answer_is_in_the_passage(item: dict[str, Any]) -> None:
    *sentences, _ = re.split(r"(?<=\.) |(?<=。)", item["question"])
    assert 2 <= len(sentences) <= 4
    passage, right = " ".join(sentences).casefold(), item["choices"][item["answer"]].casefold()
    if item["id"].startswith("zh"):
        assert sum(character in passage for character in right) >= 0.75 * len(right)
        return
    assert [word for word in right.split() if word not in FUNCTION_WORDS | words(passage)] == []


def wrong_choices(item: dict[str, Any]) -> list[str]:
    return [choice for place, choice in enumerate(item["choices"]) if place != item["answer"]]


def number_in(choice: str) -> Fraction:
    """Return the one number of a choice: 12, 5/6, or a time of day in minutes."""
    numbers: list[str] = re.findall(r"\d+(?:[:/]\d+)?", choice)
    (number,) = numbers
    if ":" in number:
        hours, minutes = number.split(":")
        return Fraction(60 * int(hours) + int(minutes))
    return Fraction(number)


def words(passage: str) -> set[str]:
    """Return the words of a passage, a plural also without its s."""
    found = set(re.findall(r"\w+", passage))
    return found | {word.removesuffix("s") for word in found}
