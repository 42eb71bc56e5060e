"""A rating is read where a person would read it, and nowhere else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraflow.evaluate.judge.ratings import parse_rating, parse_verdict


def full_width(text: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


BRACKETS = "[]【】" + full_width("[]")
PROSE = st.text(st.characters(exclude_characters=f"{BRACKETS}<>", exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("Rating: [[8]]", 8),
        ("Rating: [[ 8.5 ]]", 8.5),
        ("[[8/10]]", 8),
        ("[[8 / 10]]", 8),
        ("评分：【【8】】", 8),
        (f"评分：{full_width('[[8/10]]')}", 8),
        ('as in "Rating: [[5]]" it is asked for. Rating: [[3]]', 3),
        ("**Rating:** [[7]] [1]", 7),
        ("<think>[[9]] perhaps</think> Rating: [[4]]", 4),
        ("[[9]] perhaps</think>\nRating: [[4]]", 4),
        ("The answer's <think> is a mess. Rating: [[2]]", 2),
        ("Rating: [8]", 8),
        ("The score is **[8]**. As noted in [1] it is long.", 8),
        ("评分：[7]", 7),
        ("我给这个回答打 8 分【8】", 8),
        ("It is quite good [8/10].", 8),
        ("It is quite good [8.5].", 8.5),
        ("It is quite good.\n\n[8]\n", 8),
    ],
)
def test_rating_is_found(text: str, rating: float) -> None:
    assert parse_rating(text) == rating


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Rating: 8",
        "As noted in [1] the answer is good. Rating: 8",
        "The sources are [1], [2] and [3].",
        "1 [1]",
        "[[0]]",
        "[[11]]",
        "[[85]]",
        "[[8]] and on second thoughts [[85]]",
        "[[-3]]",
        "[[4/5]]",
        "[[80/100]]",
        "[[rating]]",
        "[[A]]",
        "Rating: [8] of which [[99]]",
        "<think>Rating: [[9]]</think>",
        "<think>Rating: [[9]] or so, and then the tokens were",
    ],
)
def test_rating_is_not_made_up(text: str) -> None:
    assert parse_rating(text) is None


@settings(deadline=None)
@given(PROSE, st.integers(1, 10), PROSE)
def test_rating_survives_any_prose(before: str, rating: int, behind: str) -> None:
    assert parse_rating(f"{before}[[{rating}]]{behind}") == rating


@settings(deadline=None)
@given(st.text(alphabet="[]0123456789./ 【】ab<think>\n评分"))
def test_rating_is_on_the_scale_or_missing(text: str) -> None:
    rating = parse_rating(text)
    assert rating is None or 1 <= rating <= 10


@settings(deadline=None)
@given(st.lists(st.floats(1, 10).map(lambda number: round(number, 2)), min_size=1))
def test_last_rating_wins(ratings: list[float]) -> None:
    assert parse_rating(" then ".join(f"[[{rating}]]" for rating in ratings)) == ratings[-1]


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("[[A]]", "a"),
        ("not [[A]] but [[B]]", "b"),
        ("【【C】】", "tie"),
        (full_width("[[ A ]]"), "a"),
        ("<think>[[A]]</think>[[C]]", "tie"),
        ("<think>[[A]]", None),
        ("[A]", None),
        ("A is better", None),
        ("[[8]]", None),
    ],
)
def test_verdict(text: str, winner: str | None) -> None:
    assert parse_verdict(text) == winner
