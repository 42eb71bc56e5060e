"""Agreement with people is FastChat's count, and kappa takes chance out of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from loraflow.errors import UserError
from loraflow.evaluate.mt_bench.human import (
    Agreement,
    Vote,
    human_agreement,
    judge_agreement,
    read_human_votes,
    votes_of_judge,
)

MODELS = ("alpaca", "vicuna")


def line(winner: str, **more: Any) -> dict[str, Any]:
    fields = {"question_id": 81, "model_a": "vicuna", "model_b": "alpaca", "winner": winner}
    return {**fields, "judge": "expert_0", "turn": 1, **more}


def read(path: Path, *rows: dict[str, Any]) -> list[Vote]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_human_votes(path)


def vote(question_id: int, winner: str, turn: int = 1) -> Vote:
    return Vote(question_id, turn, MODELS, winner)


def numbers(found: list[Agreement]) -> list[tuple[int, bool, int, float | None]]:
    return [
        (one.turn, one.with_ties, one.n, one.share.value if one.share else None) for one in found
    ]


def test_votes_stand_in_the_order_of_the_models_names(tmp_path: Path) -> None:
    votes = read(
        tmp_path / "votes.jsonl",
        line("model_a"),
        line("model_b", model_a="alpaca", model_b="vicuna"),
        line("tie (bothbad)", turn=2),
        line("model_a", judge="author_2"),
    )
    assert votes == [vote(81, "second"), vote(81, "second"), vote(81, "tie", turn=2)]


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (line("vicuna"), "winner='vicuna' is not model_a, model_b or tie"),
        (line("tie", turn="1"), "turn='1'"),
        (line("tie", judge=""), "judge=''"),
    ],
)
def test_bad_votes_are_named(bad: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"votes\.jsonl, line 2: {match}"):
        read(tmp_path / "votes.jsonl", line("tie"), bad)


def test_a_judges_two_games_are_one_vote() -> None:
    games = [
        ("model_1", "model_1"),
        ("model_1", "model_2"),
        ("tie", "tie"),
        ("error", "model_1"),
        ("model_2", "model_2"),
    ]
    rows = [
        {
            "question_id": number,
            "turn": 1,
            "model_1": "vicuna",
            "model_2": "alpaca",
            "g1_winner": g1,
            "g2_winner": g2,
        }
        for number, (g1, g2) in enumerate(games)
    ]
    assert votes_of_judge(rows) == [
        vote(0, "second"),
        vote(1, "tie"),
        vote(2, "tie"),
        vote(4, "first"),
    ]


def test_a_judge_is_counted_against_each_person() -> None:
    judge = [vote(1, "first"), vote(2, "tie"), vote(3, "second"), vote(9, "first")]
    people = [
        *(vote(1, winner) for winner in ("first", "second", "tie")),
        vote(2, "tie"),
        vote(3, "second"),
        vote(3, "second", turn=2),  # the judge saw no second turn
    ]
    found = judge_agreement(judge, people)
    assert numbers(found) == [(1, True, 5, 3 / 5), (1, False, 3, 2 / 3)]


def test_people_are_counted_in_all_pairs() -> None:
    people = [vote(1, winner, turn=2) for winner in ("first", "first", "second", "tie")]
    found = human_agreement([*people, vote(5, "first", turn=2)])
    assert numbers(found) == [(2, True, 6, 1 / 6), (2, False, 3, 1 / 3)]


def test_kappa_among_people_knows_no_order() -> None:
    pairs = [("first", "second"), ("first", "first"), ("second", "second"), ("tie", "first")]
    one, other = (
        [vote(number, winner) for number, pair in enumerate(pairs) for winner in order(pair)]
        for order in (list, lambda pair: list(reversed(pair)))
    )
    assert human_agreement(one) == human_agreement(other)


SIDES = st.sampled_from(["first", "second", "tie"])


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=30))
def test_kappa_is_cohens(pairs: list[tuple[str, str]]) -> None:
    judge = [vote(number, one) for number, (one, _) in enumerate(pairs)]
    people = [vote(number, other) for number, (_, other) in enumerate(pairs)]
    with_ties = judge_agreement(judge, people)[0]
    if len(set(sum(pairs, ()))) == 1:
        assert with_ties.kappa is None
        return
    expected = cohen_kappa_score(*zip(*pairs, strict=True))
    assert with_ties.kappa == pytest.approx(expected)


def test_a_judge_that_voted_twice_is_refused() -> None:
    with pytest.raises(UserError, match="question_id=1, turn 1, models alpaca and vicuna twice"):
        judge_agreement([vote(1, "first"), vote(1, "tie")], [])
