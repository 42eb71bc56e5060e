"""Scores equal FastChat's on any judgments; what FastChat leaves out is right by hand."""

from collections.abc import Iterator
from typing import Any

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraflow.compare import statistics
from loraflow.compare.statistics import share_interval
from loraflow.evaluate.mt_bench.score_pair import PairScore, pair_scores
from loraflow.evaluate.mt_bench.score_single import (
    ALL,
    SingleScore,
    single_differences,
    single_scores,
)

CATEGORIES = {1: "writing", 2: "writing", 3: "math", 4: "math", 5: "math"}
MODELS = ("base", "tuned", "other")


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", 200)
        yield


def rated(
    question_id: int, model: str, turn: int, score: float, failure: str = ""
) -> dict[str, Any]:
    return {
        "question_id": question_id,
        "model": model,
        "turn": turn,
        "score": score,
        "failure": failure,
    }


def played(question_id: int, g1: str, g2: str, **more: Any) -> dict[str, Any]:
    models = {"model_1": "base", "model_2": "tuned"}
    return {"question_id": question_id, "turn": 1, "g1_winner": g1, "g2_winner": g2} | models | more


RATED = st.builds(
    rated,
    st.sampled_from(sorted(CATEGORIES)),
    st.sampled_from(MODELS),
    st.sampled_from([1, 2]),
    st.one_of(st.just(-1), st.integers(1, 10), st.floats(1, 10)),
)
WINNERS = st.sampled_from(["model_1", "model_2", "tie", "error"])
PLAYED = st.builds(
    lambda question, g1, g2, pair: played(question, g1, g2, model_1=pair[0], model_2=pair[1]),
    st.sampled_from(sorted(CATEGORIES)),
    WINNERS,
    WINNERS,
    st.permutations(MODELS),
)


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(RATED, min_size=1, max_size=60))
def test_single_scores_are_those_of_show_result(rows: list[dict[str, Any]]) -> None:
    frame = pandas.DataFrame(rows)
    valid = frame[frame["score"] != -1]
    turns = valid.groupby(["model", "turn"])["score"].mean().to_dict()
    average = valid.groupby("model")["score"].mean().to_dict()
    scores = single_scores(rows, CATEGORIES)
    assert value_by_turn(scores) == pytest.approx(turns)
    found = {name: score.average.rating for name, score in scores.items()}
    assert {name: rating.value for name, rating in found.items() if rating} == pytest.approx(
        average
    )
    for name, score in scores.items():
        assert score.average.n == (valid["model"] == name).sum()
        assert score.average.n + sum(score.average.failed.values()) == (
            (frame["model"] == name).sum()
        )


def value_by_turn(scores: dict[str, SingleScore]) -> dict[tuple[str, int], float]:
    return {
        (name, turn): mean.rating.value
        for name, score in scores.items()
        for turn, mean in score.turns.items()
        if mean.rating
    }


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(PLAYED, min_size=1, max_size=60))
def test_pair_scores_are_those_of_show_result(rows: list[dict[str, Any]]) -> None:
    frame = pandas.DataFrame(rows)
    frame = frame[~frame[["g1_winner", "g2_winner"]].eq("error").any(axis=1)]
    sides = []
    for mine, theirs in (("model_1", "model_2"), ("model_2", "model_1")):
        side = pandas.DataFrame({"model": frame[mine]})
        side["win"] = (frame["g1_winner"] == mine) & (frame["g2_winner"] == mine)
        side["loss"] = (frame["g1_winner"] == theirs) & (frame["g2_winner"] == theirs)
        sides.append(side)
    rates = pandas.concat(sides).astype({"win": float, "loss": float}).groupby("model").mean()
    scores = pair_scores(rows)
    judged = {name: score for name, score in scores.models.items() if score.n}
    assert set(judged) == set(rates.index)
    for name, rate in rates.iterrows():
        score = judged[str(name)]
        ties = 1 - rate["win"] - rate["loss"]
        shares = (rate["win"], rate["loss"], ties, rate["win"] + ties / 2)
        assert shown_rates(score) == pytest.approx(shares)
    assert sum(scores.failed.values()) == len(rows) - len(frame)


def shown_rates(score: PairScore) -> list[float]:
    rates = (score.win_rate, score.loss_rate, score.tie_rate, score.win_rate_adjusted)
    return [rate.value for rate in rates if rate is not None]


def test_the_average_is_over_rows_not_over_turns() -> None:
    rows = [rated(1, "m", 1, 2), rated(2, "m", 1, 4), rated(1, "m", 2, 9), rated(2, "m", 2, -1)]
    score = single_scores(rows, CATEGORIES)["m"]
    assert score.average.rating is not None
    assert score.average.rating.value == 5  # the mean of the turns' means would be 6


def test_failures_are_counted_by_kind_and_never_scored() -> None:
    rows = [
        rated(1, "m", 1, 8),
        rated(1, "m", 2, -1, "format"),
        rated(3, "m", 1, -1, "missing_answer"),
        {"question_id": 4, "model": "m", "turn": 1, "score": -1, "judgment": "$ERROR$"},
        {"question_id": 5, "model": "m", "turn": 1, "score": -1, "judgment": "no rating"},
    ]
    score = single_scores(rows, CATEGORIES)["m"]
    assert score.average.failed == {"format": 2, "missing_answer": 1, "call": 1}
    assert score.turns[2].rating is None
    assert score.turns[2].failed == {"format": 1}
    assert list(score.categories) == ["writing", "math"]
    assert score.categories["math"].n == 0
    rating = score.categories["writing"].rating
    assert rating is not None and rating.value == 8  # of one question, so without an interval


def test_intervals_take_the_turns_of_a_question_together() -> None:
    alike = [rated(number, "m", turn, number) for number in (1, 2, 3, 4, 5) for turn in (1, 2)]
    once = [row for row in alike if row["turn"] == 1]
    twice, single = (single_scores(rows, CATEGORIES)["m"].average for rows in (alike, once))
    assert twice.rating == single.rating  # the second turn told nothing new
    assert twice.n == 2 * single.n


def test_differences_are_paired_over_what_both_were_rated_for() -> None:
    rows = [
        *(rated(number, "base", turn, number) for number in CATEGORIES for turn in (1, 2)),
        *(rated(number, "tuned", 1, number + 0.5) for number in CATEGORIES),
        rated(1, "tuned", 2, -1, "call"),
    ]
    found = single_differences(rows, CATEGORIES, challenger="tuned", reference="base")
    assert list(found) == [ALL, "writing", "math"]
    overall = found[ALL].difference
    assert overall is not None
    assert (overall.mean, overall.low, overall.high) == pytest.approx((0.5, 0.5, 0.5))
    assert [(paired.n, paired.questions) for paired in found.values()] == [(5, 5), (2, 2), (3, 3)]


def test_ratings_that_are_all_1_have_no_interval_below_the_scale() -> None:
    rows = [rated(number, "m", turn, 1) for number in range(10) for turn in (1, 2)]
    rating = single_scores(rows, CATEGORIES)["m"].average.rating
    assert rating is not None and (rating.value, rating.low, rating.high) == (1, 1, 1)


def test_models_without_a_common_rating_have_no_difference() -> None:
    rows = [rated(1, "base", 1, 4), rated(1, "tuned", 1, -1)]
    found = single_differences(rows, CATEGORIES, challenger="tuned", reference="base")
    assert (found[ALL].difference, found[ALL].n) == (None, 0)


def test_flips_are_a_share_of_rows_decided_in_both_games() -> None:
    rows = [
        played(1, "model_1", "model_1"),
        played(2, "model_1", "model_2"),
        played(3, "model_2", "model_2"),
        played(4, "tie", "model_2"),
        played(5, "error", "model_2", failure="call"),
        played(5, "error", "error", failure="missing_answer"),
    ]
    scores = pair_scores(rows)
    assert scores.flip_rate == share_interval(1, 3)
    assert scores.decided == 3
    assert scores.failed == {"call": 1, "missing_answer": 1}
    base, tuned = scores.models["base"], scores.models["tuned"]
    assert (base.wins, base.losses, base.ties, base.n) == (1, 1, 2, 4)
    assert tuned.failed == scores.failed


def test_rates_of_games_take_the_turns_of_a_question_together() -> None:
    games = ["model_1", "model_1", "model_2", "tie", "model_1"] * 4
    once = [played(number, "model_1", second) for number, second in enumerate(games)]
    twice = [{**row, "turn": turn} for row in once for turn in (1, 2)]
    found, single = pair_scores(twice), pair_scores(once)
    tuned, base = found.models["tuned"], found.models["base"]
    assert tuned.n == 2 * single.models["tuned"].n and found.flip_rate and single.flip_rate
    assert found.flip_rate.value == single.flip_rate.value == 0.25
    for rate in (base.win_rate, tuned.loss_rate, tuned.tie_rate, found.flip_rate):
        assert rate is not None
        alone = share_interval(40 * rate.value, 40)  # as if no turn had to do with the other
        assert rate.high - rate.low > 1.2 * (alone.high - alone.low)


def test_a_model_whose_games_all_failed_is_shown_without_a_rate() -> None:
    scores = pair_scores([played(1, "error", "model_1", g1_judgment="$ERROR$")])
    assert scores.flip_rate is None
    assert scores.models["tuned"].win_rate is None
    assert scores.models["tuned"].failed == {"call": 1}
