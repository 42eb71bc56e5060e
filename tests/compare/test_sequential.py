"""What is told while data come in holds however often one looks: measured by simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from loraflow.compare.sequential import (
    ALPHA,
    Followed,
    block_of,
    differences,
    follow,
    values_needed,
)

Array = NDArray[np.float64]
Make = Callable[[np.random.Generator, float], Array]
BASE = 0.6  # share of thumbs up
LOOKS = 400  # a look after each block
TESTS = 100


def thumbs(
    draw: np.random.Generator, gain: float, *, blocks: int = LOOKS, block: tuple[int, int] = (1, 1)
) -> Array:
    """Differences of blocks of ratings."""
    control = (draw.random((blocks, block[0])) < BASE).mean(axis=1)
    candidate = (draw.random((blocks, block[1])) < BASE + gain).mean(axis=1)
    return np.asarray(candidate - control)


def moods(draw: np.random.Generator, gain: float, *, blocks: int = LOOKS) -> Array:
    """Differences of the votes of two users, each the mean of five ratings in his own mood."""
    shares = (draw.beta(3 * share, 3 * (1 - share), blocks) for share in (BASE, BASE + gain))
    control, candidate = (draw.binomial(5, share) / 5 for share in shares)
    return np.asarray(candidate - control)


def followed(gain: float, make: Make = thumbs) -> list[Followed]:
    draw = np.random.default_rng(7)
    return [follow(make(draw, gain)) for _ in range(TESTS)]


def ever_wrong(found: Followed, truth: float) -> bool:
    return bool(((found.low > truth + 1e-9) | (found.high < truth - 1e-9)).any())


@pytest.mark.parametrize("make", [thumbs, moods])
@pytest.mark.parametrize("gain", [0.0, 0.15])
def test_the_interval_holds_the_truth_at_all_times(gain: float, make: Make) -> None:
    """At most 5 of 100 tests may be wrong at any look."""
    assert sum(ever_wrong(found, gain) for found in followed(gain, make)) <= 5


def test_equal_arms_are_hardly_ever_told_apart_by_who_looks_after_every_rating() -> None:
    verdicts = [found.verdict for found in followed(0.0)]
    assert verdicts.count("better") <= 5
    assert verdicts.count("open") >= 95


def test_a_usual_test_looked_at_after_every_rating_finds_what_is_not_there() -> None:
    """This is what all of it is for: p < 0.05 is reached in half of all tests of equal arms."""
    draw = np.random.default_rng(7)
    wrong = 0
    for _ in range(TESTS):
        values = thumbs(draw, 0.0)
        count = np.arange(1, LOOKS + 1)
        mean = np.cumsum(values) / count
        error = np.sqrt((np.cumsum(values**2) / count - mean**2) / count)
        wrong += bool((np.abs(mean[9:]) > 1.96 * error[9:]).any())
    assert wrong > 30


@pytest.mark.parametrize("block", [(1, 1), (4, 1)])
def test_about_as_many_values_are_needed_as_is_said(block: tuple[int, int]) -> None:
    draw = np.random.default_rng(3)
    gain = 0.2
    variance = BASE * (1 - BASE) / block[0] + (BASE + gain) * (1 - BASE - gain) / block[1]
    needed = values_needed(gain, variance)
    told = [follow(thumbs(draw, gain, blocks=4 * needed, block=block)) for _ in range(60)]
    when = [int((found.p <= ALPHA).argmax()) + 1 for found in told if found.verdict == "better"]
    assert len(when) >= 57
    assert 0.7 * needed < np.median(when) < 1.3 * needed


def test_smaller_differences_need_more_values() -> None:
    needed = [values_needed(gap, 0.48) for gap in (0.2, 0.1, 0.05, 0.0)]
    assert needed == sorted(needed)
    assert needed[0] < 150 < needed[1] < 700 < needed[2] < 4000
    assert needed[3] == 10**6  # never


def test_what_was_told_stays_told() -> None:
    draw = np.random.default_rng(1)
    found = follow(np.concatenate([thumbs(draw, 0.3), thumbs(draw, 0.0, blocks=50)]))
    assert found.verdict == "better"
    assert (np.diff(found.low) >= 0).all() and (np.diff(found.high) <= 0).all()
    assert (np.diff(found.p) <= 0).all()


def test_worse_is_told_as_better_is() -> None:
    draw = np.random.default_rng(1)
    values = thumbs(draw, 0.3)
    up, down = follow(values), follow(-values)
    assert (up.verdict, down.verdict) == ("better", "worse")
    assert down.p == pytest.approx(up.p)
    assert down.high == pytest.approx(-up.low)


def test_a_difference_that_turned_around_is_no_verdict() -> None:
    """Better at first and worse later: no single difference fits."""
    assert follow([1.0] * 200 + [-1.0] * 400).verdict == "changed"


def test_p_and_interval_agree() -> None:
    for seed in range(20):
        found = follow(thumbs(np.random.default_rng(seed), 0.2, blocks=150))
        outside = (found.low > 0) | (found.high < 0)
        assert not (outside & (found.p > ALPHA)).any()
        assert ((found.low >= 0) | (found.high <= 0))[found.p <= ALPHA].all()


def test_pieces_change_nothing() -> None:
    """What can be said after 300 values does not depend on those that follow."""
    values = thumbs(np.random.default_rng(5), 0.1, blocks=700)
    whole, part = follow(values), follow(values[:300])
    assert part.low == pytest.approx(whole.low[:300])
    assert part.p == pytest.approx(whole.p[:300])


def test_nothing_follows_from_nothing_or_little() -> None:
    assert follow([]).verdict == "open"
    one = follow([1.0])
    assert (one.low[0], one.high[0], one.verdict) == (-1.0, 1.0, "open")


def test_all_of_one_kind_is_told_soon() -> None:
    found = follow([1.0] * 30)
    assert found.verdict == "better"
    assert 0 < found.low[-1] < 1 and found.high[-1] == 1


def test_values_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="between -1 and 1"):
        follow([0.0, 1.5])
    with pytest.raises(ValueError, match="between -1 and 1"):
        follow([float("nan")])


@pytest.mark.parametrize(
    ("share", "block"),
    [(0.5, (1, 1)), (0.1, (9, 1)), (0.9, (1, 9)), (0.25, (3, 1)), (0.01, (9, 1)), (0.999, (1, 9))],
)
def test_a_block_has_the_arms_in_the_share_of_users(share: float, block: tuple[int, int]) -> None:
    assert block_of(share) == block


def test_blocks_fill_in_the_order_of_coming() -> None:
    control, candidate = False, True
    came = [
        *[(control, 1.0), (control, 0.0), (candidate, 1.0)],  # the first block is full
        *[(candidate, 0.0), (control, 1.0), (candidate, 1.0), (control, 1.0)],  # the second
        (control, 0.0),
    ]
    assert differences(came, (2, 1)) == ([0.5, -1.0], [3, 7])


def test_of_an_arm_that_has_more_than_its_part_the_oldest_are_left_out() -> None:
    control, candidate = False, True
    came = [(control, float(number % 2)) for number in range(100)]
    came += [(control, 1.0)] * 20 + [(candidate, 1.0)] * 2
    assert differences(came, (1, 1)) == ([0.0, 0.0], [121, 122])


def drifting(draw: np.random.Generator, count: int) -> list[tuple[bool, float]]:
    """Votes on equal arms, one in a hundred the candidate's, in a mood that gets worse."""
    arms = draw.random(count) < 0.01
    values = draw.random(count) < np.linspace(0.9, 0.3, count)
    return list(zip(arms.tolist(), values.astype(float).tolist(), strict=True))


def test_a_mood_that_changes_for_both_arms_makes_no_difference() -> None:
    """Where every vote waits for its turn, those of today meet those of weeks ago."""
    draw = np.random.default_rng(11)
    told = {"bounded": 0, "first come": 0}
    for _ in range(20):
        votes = drifting(draw, 20_000)
        candidate = np.array([value for is_candidate, value in votes if is_candidate])
        control = np.array([value for is_candidate, value in votes if not is_candidate])
        waited = control[: 9 * len(candidate)].reshape(-1, 9).mean(axis=1)
        told["bounded"] += follow(differences(votes, (9, 1))[0]).verdict != "open"
        told["first come"] += follow(candidate - waited).verdict != "open"
    assert told["bounded"] <= 2
    assert told["first come"] >= 18
