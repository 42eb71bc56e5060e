"""Successive halving: who goes on, from nothing but how far everybody came."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from loraflow.sweep.halving import Standings, next_round, verdict
from loraflow.sweep.outcome import Outcome

Arm = dict[str, Outcome | None]
Loss = Callable[[str, int], float]
STEPS, LOOK = 60, 5


def constant(name: str, step: int) -> float:
    """A number as name is the loss of the configuration at every step."""
    return float(name)


def train(name: str, until: int | None, loss: Loss = constant) -> Outcome:
    """Train a configuration as a trial does: it pauses behind a step or ends."""
    step = min(until or STEPS, STEPS)
    looks = [(at, loss(name, at)) for at in range(LOOK, step + 1, LOOK)]
    state = "finished" if until is None else "paused"
    trained = "folder" if step == STEPS else ""
    reason = f"paused at step {step} of {STEPS}"
    return Outcome(name, state, reason, step=step, trained=trained, validation=looks)  # type: ignore[arg-type]


def climb(arm: Standings, loss: Loss = constant) -> tuple[Arm, list[dict[str, int | None]]]:
    """Run rounds until nothing is left; return where all ended, and the rounds."""
    now, rounds = dict(arm), []
    while orders := next_round(now, LOOK):
        rounds.append(orders)
        now |= {name: train(name, until, loss) for name, until in orders.items()}
    return now, rounds


def fresh(count: int) -> Arm:
    return {str(number): None for number in range(1, count + 1)}


def finished(arm: Standings) -> list[str]:
    return [name for name, one in arm.items() if one and one.state == "finished"]


def test_all_come_as_far_before_the_best_third_goes_on_and_one_to_the_end() -> None:
    _, rounds = climb(fresh(9))
    assert rounds == [
        dict.fromkeys("123456789", 5),
        dict.fromkeys("123", 15),
        {"1": None},
    ]


def test_the_order_in_which_configurations_come_decides_nothing() -> None:
    arm = fresh(6)
    backwards = dict(reversed(arm.items()))
    assert climb(arm)[0] == climb(backwards)[0]


def test_one_that_falls_behind_at_a_later_rung_makes_room() -> None:
    crossing = {"1": [(5, 1.0), (10, 0.9), (15, 0.9)], "2": [(5, 1.1), (10, 0.7), (15, 0.6)]}
    arm: Arm = {
        name: replace(train(name, 15), validation=looks) for name, looks in crossing.items()
    }
    arm |= {name: train(name, 5) for name in "3456"}
    assert next_round(arm, LOOK) == {"2": None}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 30])
def test_exactly_one_of_an_arm_is_trained_to_its_end(count: int) -> None:
    arm, _ = climb(fresh(count))
    assert finished(arm) == ["1"]


def test_an_only_configuration_does_not_pause() -> None:
    assert next_round({"1": None}, LOOK) == {"1": None}


@pytest.mark.parametrize("dead", [["1"], ["1", "2"], ["1", "2", "3", "4", "5"]])
def test_whoever_fails_makes_room_for_the_next_best(dead: list[str]) -> None:
    arm: Arm = {name: train(name, LOOK) for name in fresh(6)}
    arm |= {name: Outcome(name, "failed", "diverged", failures=1) for name in dead}
    alive = [name for name in arm if name not in dead]
    assert finished(climb(arm)[0]) == alive[:1]


def test_nothing_is_left_where_all_failed() -> None:
    assert next_round({name: Outcome(name, "failed") for name in "123"}, LOOK) == {}


def test_a_killed_round_goes_on_with_those_that_did_not_come_as_far() -> None:
    arm: Arm = {**fresh(6), "2": train("2", LOOK), "5": train("5", LOOK)}
    assert next_round(arm, LOOK) == dict.fromkeys("1346", LOOK)


def test_a_training_that_ends_before_the_rung_is_compared_by_its_best_look() -> None:
    short = replace(train("1", LOOK), trained="folder", validation=[(3, 1.0)], step=3)
    arm: Arm = {"1": short, "2": train("2", LOOK), "3": train("3", LOOK)}
    assert next_round(arm, LOOK) == {"1": None}


def test_without_a_look_a_configuration_is_behind_all_others() -> None:
    blind = replace(train("1", LOOK), validation=[])
    lost = replace(train("2", LOOK), validation=[(5, math.nan)])
    assert next_round({"1": blind, "2": lost, "3": train("3", LOOK)}, LOOK) == {"3": None}


def after(batch: Standings) -> Arm:
    """Return an arm whose batch has ended: what waited was pruned."""
    ended, _ = climb(batch)
    return {
        name: replace(one, state="pruned") if one and one.state == "paused" else one
        for name, one in ended.items()
    }


def test_what_is_proposed_later_is_compared_with_all_before_and_revives_none() -> None:
    known = after({"2": None, "3": None, "4": None})
    assert next_round({**known, "5": train("5", LOOK)}, LOOK) == {}
    assert next_round({**known, "1": None}, LOOK) == {"1": LOOK}
    assert next_round({**known, "1": train("1", LOOK)}, LOOK) == {"1": None}


def test_the_verdict_says_how_many_went_on() -> None:
    arm, _ = climb(fresh(6))
    said: Mapping[str, str] = {name: verdict(arm, name) for name in arm if name != "1"}
    assert said["6"] == "paused at step 5 of 60; 2 of 6 went on"
    assert said["2"] == "paused at step 15 of 60; 1 of 2 went on"
