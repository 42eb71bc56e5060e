"""A user counts once, by what he said first; edits count until then."""

from itertools import pairwise

import numpy as np
import pytest

from loraflow.compare.sequential import differences, follow
from loraflow.serve.traffic.ratings import (
    RATINGS_OF_A_VOTE,
    VOTE_SECONDS,
    Rating,
    first_of_users,
    votes_of,
)

LATER = 10 * VOTE_SECONDS


def rated(
    values: str, *, user: str = "ann", arm: str = "control", every: float = 60
) -> list[Rating]:
    """Return ratings, + or -, of answer after answer."""
    return [
        Rating(place * every, f"{user}-{place}", user, arm, float(sign == "+"))
        for place, sign in enumerate(values)
    ]


def test_a_vote_is_the_mean_of_the_first_ratings() -> None:
    (vote,) = votes_of(rated("++--+-----"), LATER).cast
    assert (vote.value, vote.at) == (0.6, 4 * 60)


def test_a_user_of_few_ratings_votes_after_a_day() -> None:
    assert votes_of(rated("+-"), VOTE_SECONDS - 1).cast == []
    assert votes_of(rated("+-"), VOTE_SECONDS - 1).open == 1
    (vote,) = votes_of(rated("+-"), VOTE_SECONDS).cast
    assert (vote.value, vote.at) == (0.5, VOTE_SECONDS)


def test_ratings_after_the_day_do_not_count() -> None:
    (vote,) = votes_of(rated("+---", every=VOTE_SECONDS), 20 * VOTE_SECONDS).cast
    assert vote.value == 0.5  # the second came just in time


def test_the_latest_rating_of_an_answer_counts_until_the_vote_is_cast() -> None:
    def edited(at: float) -> Rating:
        return Rating(at, "ann-0", "ann", "control", 0.0)

    (before,) = votes_of([*rated("++"), edited(100)], LATER).cast
    (after,) = votes_of([*rated("+" * RATINGS_OF_A_VOTE), edited(1000)], LATER).cast
    assert (before.value, after.value) == (0.5, 1.0)


def test_the_past_never_changes() -> None:
    """Who looks at any time sees what he saw before, and more."""
    draw = np.random.default_rng(0)
    ratings = sorted(
        (
            one
            for user in "abcdefgh"
            for one in rated("+-+-++-", user=user, every=draw.random() * 2e4)
        ),
        key=lambda one: one.at,
    )
    seen = [votes_of([r for r in ratings if r.at <= t], t).cast for t in np.arange(0, 2e5, 5e3)]
    for earlier, later in pairwise(seen):
        assert list(later[: len(earlier)]) == list(earlier)


def test_a_user_counts_in_the_arm_that_he_rated_first() -> None:
    both = [*rated("+"), *rated("-----", arm="candidate")]
    (vote,) = votes_of(both, LATER).cast
    assert (vote.arm, vote.value) == ("control", 1.0)


def test_users_with_moods_do_not_make_equal_arms_differ() -> None:
    """Counted one by one, ratings of few users in moods of their own tell equal arms apart."""
    draw = np.random.default_rng(5)
    wrong = {"votes": 0, "ratings": 0}
    for _ in range(60):
        ratings = []
        for user in range(40):
            mood, arm = draw.beta(0.6, 0.4), ("control", "candidate")[user % 2]
            signs = "".join("+" if draw.random() < mood else "-" for _ in range(15))
            ratings += rated(signs, user=f"{user}", arm=arm, every=draw.random() * 600)
        ratings.sort(key=lambda one: one.at)
        cast = votes_of(ratings, LATER).cast
        for name, values in (("votes", cast), ("ratings", ratings)):
            pairs = [(one.arm == "candidate", one.value) for one in values]
            wrong[name] += follow(differences(pairs, (1, 1))[0]).verdict != "open"
    assert wrong["votes"] <= 3
    assert wrong["ratings"] > 15


@pytest.mark.parametrize("every", [60, VOTE_SECONDS])
def test_only_what_can_count_is_judged(every: float) -> None:
    items = rated("++++++++", every=every)
    first = list(first_of_users(items))
    assert votes_of(first, 99 * VOTE_SECONDS) == votes_of(items, 99 * VOTE_SECONDS)
    assert len(first) <= RATINGS_OF_A_VOTE
