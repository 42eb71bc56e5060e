"""The search inside an arm: its budget, what it goes on with, and what it prunes."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from loraflow.config import SearchConfig
from loraflow.errors import Pruned, UserError
from loraflow.files import write_json
from loraflow.lock import is_held
from loraflow.sweep import study
from loraflow.sweep.arm import Arm, Finished, Proposal, objectives
from loraflow.sweep.outcome import Outcome
from loraflow.sweep.pruning import LOOK, Pruning
from loraflow.sweep.space import Dimension, read_dimensions
from loraflow.sweep.study import Search

RATES = {"train.learning_rate": [1e-4, 3e-4, 1e-3]}
RANGE = {"train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new folder' / 'sweeps.db'}"


def config(storage: str, **changes: Any) -> SearchConfig:
    usual: dict[str, Any] = {
        "tune": RATES,
        "sampler": "grid",
        "trials": None,
        "objectives": ["loss"],
        "pruning": None,
        "storage": storage,
        "seed": 0,
    }
    return SearchConfig(**{**usual, **changes})


def dimensions(space: dict[str, Any]) -> list[Dimension]:
    return read_dimensions(space, "sweep.search.tune")


def search(storage: str, space: dict[str, Any] = RATES, **changes: Any) -> Search:
    return Search(config(storage, **changes), dimensions(space), name="arm")


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("mlruns/x.db", "Could not parse"),
        ("sqlite:////proc/nowhere/x.db", "No such file"),
        ("postgresql+nodriver://host/x", "nodriver.*loraflow.postgres."),
        ("postgresql://host:port/x", "port"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_named(
    address: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^sweep\.search\.storage={re.escape(address)} .*{cause}"):
        search(address)


def test_first_uses_of_a_storage_take_turns(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "new folder" / ".sweeps.lock"
    monkeypatch.setattr(study, "RDBStorage", lambda _: is_held(lock))
    assert study.open_storage(config(storage))
    assert not is_held(lock)


def test_a_grid_proposes_every_value_once(storage: str) -> None:
    one = search(storage)
    proposed = one.propose(100)
    assert {found.values["train.learning_rate"] for found in proposed} == {1e-4, 3e-4, 1e-3}
    assert one.propose(100) == []


def test_a_sampler_keeps_to_its_budget_and_its_range(storage: str) -> None:
    one = search(storage, RANGE, sampler="tpe", trials=5)
    values = []
    while found := one.propose(2):
        for configuration in found:
            values.append(configuration.values["train.learning_rate"])
            one.tell(configuration.number, [1.0])
    assert len(values) == len(set(values)) == 5
    assert all(1e-4 <= float(value or 0) <= 1e-2 for value in values)


def test_what_a_killed_sweep_left_is_gone_on_with(storage: str) -> None:
    proposed = search(storage).propose(2)
    again = search(storage)  # as the next call of the command opens it
    assert again.known() == proposed
    assert len(again.propose(100)) == 1


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
@pytest.mark.parametrize("drawn", [0, 1])
def test_a_proposal_that_a_kill_cut_short_is_completed(
    storage: str, sampler: str, drawn: int
) -> None:
    space = {**(RATES if sampler == "grid" else RANGE), "adapter.r": [1, 2]}
    settings: dict[str, Any] = {"sampler": sampler, "trials": None if sampler == "grid" else 3}
    one = search(storage, space, **settings)
    cut = one._study.ask(dict(list(one._distributions.items())[:drawn]))
    again = search(storage, space, **settings)
    (known,) = again.known()
    assert known.values.keys() == space.keys()
    assert cut.params.items() <= known.values.items()
    assert again.known() == search(storage, space, **settings).known() == [known]
    proposed = [known, *again.propose(100)]
    assert len(proposed) == (6 if sampler == "grid" else 3)
    if sampler == "grid":
        assert len({tuple(found.values.values()) for found in proposed}) == 6


def test_a_sweep_that_goes_on_does_not_draw_the_same_numbers_again(storage: str) -> None:
    settings: dict[str, Any] = {"sampler": "random", "trials": 2}
    first = search(storage, RANGE, **settings).propose(1)
    second = search(storage, RANGE, **settings).propose(1)
    assert first[0].values != second[0].values


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_arm_of_which_nothing_can_be_trained_comes_to_an_end(storage: str, sampler: str) -> None:
    one = search(storage, RANGE, sampler=sampler, trials=5)
    proposed = []
    for _ in range(9):
        proposed += (found := one.propose(2))
        for configuration in found:
            one.tell(configuration.number, None, "failed")
    assert len(proposed) == 5


def test_the_best_of_those_that_finished_is_chosen(storage: str) -> None:
    arm = Arm({}, search(storage))
    losses = {1e-4: [2.0], 3e-4: [1.0, 1.5], 1e-3: []}  # by seed; the last one was pruned
    arm.propose(3)
    assert arm.chosen(finished(losses)) == [{"train.learning_rate": 3e-4}]


def test_a_loss_that_is_no_number_is_never_the_best(storage: str) -> None:
    arm = Arm({}, search(storage))
    arm.propose(3)
    losses = {1e-4: [math.nan], 3e-4: [9.0], 1e-3: [math.nan]}
    assert arm.chosen(finished(losses)) == [{"train.learning_rate": 3e-4}]


def test_several_objectives_choose_the_pareto_front(storage: str, tmp_path: Path) -> None:
    arm = Arm({}, search(storage, objectives=["loss", "seconds"]))
    arm.propose(3)
    for rate, seconds in zip(RATES["train.learning_rate"], (9, 1, 5), strict=True):
        (tmp_path / str(rate)).mkdir()
        write_json(tmp_path / str(rate) / "result.json", {"seconds": seconds})
    chosen = arm.chosen(finished({1e-4: [1.0], 3e-4: [2.0], 1e-3: [3.0]}, tmp_path))
    assert {values["train.learning_rate"] for values in chosen} == {1e-4, 3e-4}


def finished(losses: dict[float, list[float]], folder: Path = Path()) -> Finished:
    """Return what a configuration's seeds left, by its learning rate."""

    def of(one: Proposal) -> list[Outcome]:
        rate = float(one.tuned["train.learning_rate"] or 0)
        trained = str(folder / str(rate))
        return [
            Outcome("a", "finished", trained=trained, validation=[(5, loss)])
            for loss in losses[rate]
        ]

    return of


def test_what_is_far_behind_is_pruned_before_any_of_its_batch_is_told(storage: str) -> None:
    one = search(storage, RANGE, sampler="random", trials=9, pruning="hyperband")
    numbers = [configuration.number for configuration in one.propose(9)]
    ends = [looked_at(Pruning(one.config, one.name, number), float(number)) for number in numbers]
    assert ends[0] == 40
    assert min(ends) == 5
    assert all(end in (5, 15, 40) for end in ends)  # the first look, the third, the ninth


def looked_at(pruning: Pruning, loss: float) -> int:
    """Train with a constant loss and a look every 5 steps; return the last step."""
    log = pruning.watch(lambda *_: None, first_look=5)
    for step in range(5, 45, 5):
        try:
            log(LOOK, loss, step)
        except Pruned as pruned:
            assert f"at step {step}" in str(pruned)
            return step
    return step


def test_only_looks_are_reported(storage: str) -> None:
    one = search(storage, pruning="hyperband")
    (configuration, *_) = one.propose(3)
    pruning = Pruning(one.config, one.name, configuration.number)
    logged: list[str] = []
    log = pruning.watch(lambda name, value, step: logged.append(name), first_look=5)
    log("train/loss", 9.0, 5)
    log(LOOK, 2.0, 5)
    assert logged == ["train/loss", LOOK]
    assert one._study.trials[configuration.number].intermediate_values == {5: 2.0}


def test_only_hyperband_stops_a_trial_that_trains(storage: str) -> None:
    stops = {
        name: Arm({}, search(storage, pruning=name)).pruning(0) is not None
        for name in (None, "halving", "hyperband")
    }
    assert stops == {None: False, "halving": False, "hyperband": True}


def test_a_study_learns_from_what_was_pruned_and_is_told_no_step_twice(storage: str) -> None:
    one = search(storage, pruning="halving")
    arm = Arm({}, one)
    (proposal, *_) = arm.propose(3)
    one.report(proposal.number, [(5, 3.0)])
    arm.tell(proposal, [Outcome("a", "pruned", validation=[(5, 3.0), (15, 2.0)])])
    told = one._study.trials[proposal.number]
    assert (told.state.name, told.intermediate_values) == ("PRUNED", {5: 3.0, 15: 2.0})


def test_a_configuration_is_told_once_and_by_the_seeds_that_finished(storage: str) -> None:
    one = search(storage)
    first, second, _ = Arm({}, one).propose(3)
    done, lost = Outcome("a", "finished", validation=[(5, 2.0)]), Outcome("b", "failed")
    first.arm.tell(first, [done, lost])
    second.arm.tell(second, [lost, lost])
    assert [trial.state.name for trial in one._study.trials] == ["COMPLETE", "FAIL", "RUNNING"]
    assert one._study.trials[0].value == 2.0
    again = Arm({}, search(storage))
    known = again.known()
    assert [proposal.is_told for proposal in known] == [True, True, False]
    again.tell(known[1], [done])  # as after a mend, with more attempts
    assert one._study.trials[1].state.name == "FAIL"


def test_tpe_draws_its_first_configurations_at_once(storage: str) -> None:
    one = search(storage, RANGE, sampler="tpe", trials=8)
    first = one.propose(1)
    for configuration in first:
        one.tell(configuration.number, [1.0])
    assert (len(first), len(one.propose(1))) == (4, 1)


def test_an_arm_without_anything_to_tune_has_one_configuration() -> None:
    arm = Arm({"adapter.r": 4})
    assert [proposal.tuned for proposal in arm.known()] == [{}]
    assert arm.propose(10) == []
    assert arm.chosen(lambda _: []) == [{}]


def test_the_loss_of_a_configuration_is_the_best_look_averaged_over_seeds(storage: str) -> None:
    outcomes = [
        Outcome("a", "finished", validation=[(5, 3.0), (10, 1.0), (15, 2.0)]),
        Outcome("b", "finished", validation=[(5, 2.0)]),
    ]
    assert objectives(config(storage), outcomes) == [1.5]
