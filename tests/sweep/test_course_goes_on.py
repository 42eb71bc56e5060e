"""A sweep that is killed anywhere, or loses what it had, goes on: no model is trained here."""

import itertools
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage

from flows.course import Course
from flows.rank import page_of
from flows.sweep_command import read_request
from flows.trial import Assignment, warm_base
from loraflow.config import RunnerConfig
from loraflow.files import write_json, write_lines
from loraflow.sweep.outcome import Notes, Outcome
from loraflow.sweep.request import Request

RATES = (3e-3, 1e-3, 1e-2)  # the lower, the better
BEST = {"base model", "r=1 learning_rate=0.001", "r=8 learning_rate=0.001"}
POINTS = list(itertools.product((1, 8), RATES, (0, 1)))  # r, learning rate, seed
RUNG = 2
WRITES = (
    (RDBStorage, "create_new_trial"),
    (RDBStorage, "set_trial_param"),
    (RDBStorage, "set_trial_state_values"),
    (Notes, "write"),
)


class Killed(BaseException):
    """Plays kill -9: nobody catches it."""


@pytest.fixture(scope="module")
def asked(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    folder = tmp_path_factory.mktemp("asked")
    return read_request(
        [
            "sweep=smoke",
            "sweep.seeds=[0,1]",
            f"+sweep.search.tune={{train.learning_rate: {list(RATES)}}}",
            f"train.early_stopping={{rows: 16, steps: {RUNG}, patience: 1000}}",
            "model=folder",
            f"model.location={tiny_folder}",
            f"model.cache={folder / 'models'}",
        ]
    )


class Sweep:
    """Calls of one command, whose trainings are played."""

    def __init__(self, asked: Request, folder: Path, pruning: Any) -> None:
        storage = f"sqlite:///{folder / 'sweeps.db'}"
        search = replace(asked.sweep.search, storage=storage, pruning=pruning)
        config = replace(asked.config, store=folder / "store")
        self.request = replace(asked, config=config, sweep=replace(asked.sweep, search=search))
        self.folder = folder
        self.pruning = pruning
        self.ran: Counter[str] = Counter()
        self.failing: set[str] = set()

    @property
    def whole(self) -> Counter[str]:
        """Return how often a sweep trains each trial, when nothing happens to it."""
        if self.pruning != "halving":  # hyperband finds nothing to prune
            names = (f"r={r} learning_rate={rate} seed={s}" for r, rate, s in POINTS)
            return Counter(["base model", *names])
        rungs = (f"r={r} learning_rate={rate} seed=0" for r, rate, s in POINTS if s == 0)
        ends = (f"r={r} learning_rate=0.001 seed={s}" for r, rate, s in POINTS if rate == 1e-3)
        return Counter(["base model", *rungs, *ends])

    def call(self, parent: str = "parent") -> Course:
        course = Course(self.request)
        course.run(parent)
        return course

    def train(self, assignments: Sequence[Assignment], _: RunnerConfig, __: Any) -> None:
        for assignment in assignments:
            trial, notes = assignment.order.trial, Notes(assignment.notes)
            earlier = notes.read(trial)
            if earlier and earlier.is_there(assignment.parent, assignment.order.pause_at):
                continue
            if trial.name in self.failing:
                notes.write_failure(trial, "diverged")
            else:
                notes.write(trial, self._outcome(assignment))
            self.ran[trial.name] += 1

    def _outcome(self, assignment: Assignment) -> Outcome:
        trial, pause_at = assignment.order.trial, assignment.order.pause_at
        loss = float(trial.values.get("train.learning_rate") or 0)
        looks = [(RUNG, loss)]
        if pause_at is not None:
            return Outcome(trial.name, "paused", step=pause_at, validation=looks)
        made = str(self._output(trial.name, loss))
        return Outcome(
            trial.name, "finished", "", 0, 0, assignment.parent, "", made, made, "", [], looks
        )

    def _output(self, name: str, loss: float) -> Path:
        made = self.folder / "outputs" / name
        made.mkdir(parents=True, exist_ok=True)
        counts = {"trainable_parameters": 8}
        result = {"counts": counts, "metrics": {}, "seconds": 1.0, "peak_memory_gib": 1.0}
        write_json(made / "result.json", result)
        write_lines(made / "items.jsonl", [{"id": str(row), "rougeL": loss} for row in range(9)])
        return made


@pytest.fixture(params=[None, "halving", "hyperband"])
def sweep(
    asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Sweep:
    made = Sweep(asked, tmp_path, request.param)
    monkeypatch.setattr("flows.dispatch.run_trials", made.train)
    return made


def kill_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the process at the next write to studies or notes, after so many."""
    left = itertools.chain(range(count))
    for place, name in WRITES:
        monkeypatch.setattr(place, name, _or_die(getattr(place, name), left))


def _or_die(write: Any, left: Iterator[int]) -> Any:
    def or_die(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return write(*args, **kwargs)

    return or_die


def test_a_sweep_that_is_killed_everywhere_does_every_trial_once(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = 0
    while True:
        try:
            with monkeypatch.context() as deadly:
                kill_after(3, deadly)
                course = sweep.call()
            break
        except Killed:
            kills += 1
    assert kills > 5
    assert course.chosen == BEST
    assert sweep.ran == sweep.whole


def test_a_sweep_that_is_done_runs_nothing_again_and_nothing_waits(sweep: Sweep) -> None:
    for _ in range(2):
        course = sweep.call()
        assert course.chosen == BEST
        assert sweep.ran == sweep.whole
        states = Counter(trial.state for trial in page_of(course).trials)
        assert set(states) == (
            {"finished", "pruned"} if sweep.pruning == "halving" else {"finished"}
        )


def test_a_search_whose_notes_are_gone_runs_again(sweep: Sweep) -> None:
    shutil.rmtree(sweep.call().notes.folder)
    assert sweep.call().chosen == BEST
    assert sweep.ran == sweep.whole + sweep.whole


def test_what_finished_is_made_again_where_its_outputs_are_gone(sweep: Sweep) -> None:
    ends = [one.trial for one in sweep.call().outcomes().values() if one.state == "finished"]
    shutil.rmtree(sweep.folder / "outputs")
    course = sweep.call()
    assert course.chosen == BEST
    assert sweep.ran == sweep.whole + Counter(ends)
    assert page_of(course).comparison is not None


def test_what_finished_is_logged_below_another_parent(sweep: Sweep) -> None:
    sweep.call()
    ended = [one for one in sweep.call("another").outcomes().values() if one.state == "finished"]
    assert {one.parent for one in ended} == {"another"}


def test_an_arm_stays_with_the_seeds_that_finished(sweep: Sweep) -> None:
    sweep.failing = {"r=8 learning_rate=0.001 seed=1"}
    for attempt in (1, 2, 2):
        assert sweep.call().chosen == BEST
        assert sweep.ran["r=8 learning_rate=0.001 seed=1"] == attempt


def test_what_failed_is_tried_again_by_each_call_and_not_for_ever(sweep: Sweep) -> None:
    bad = "r=8 learning_rate=0.001 seed=0"
    sweep.failing = {bad}
    first = sweep.call()
    assert first.outcomes()[bad].state == "failed"
    if sweep.pruning is not None:
        assert first.chosen == {*BEST} - {"r=8 learning_rate=0.001"} | {"r=8 learning_rate=0.003"}
    sweep.failing = set()
    assert sweep.call().chosen == BEST


@pytest.mark.parametrize(("kind", "is_kept"), [("local", True), ("processes", False)])
def test_the_base_is_not_kept_beside_workers_that_have_their_own(
    sweep: Sweep, kind: Any, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_base(), "_held", "the base")
    runner = replace(sweep.request.runner, kind=kind)
    sweep.request = replace(sweep.request, runner=runner)
    sweep.call()
    assert (warm_base()._held is not None) is is_kept


def test_trials_that_mlflow_misses_are_counted(
    sweep: Sweep, caplog: pytest.LogCaptureFixture
) -> None:
    course = Course(sweep.request)
    outbox = course.store.root / "outbox"
    outbox.mkdir(parents=True)
    for name, parent in (("a", "parent"), ("b", "parent"), ("c", "another"), ("d", None)):
        write_json(outbox / f"{name}.json", {"needs": [], "unlogged": {"parent": parent}})
    course.warn_of_unlogged("parent")
    assert "2 trials wait for make sync" in caplog.text


def test_an_arm_of_which_all_failed_is_named(sweep: Sweep) -> None:
    sweep.failing = {f"r=8 learning_rate={rate} seed={seed}" for rate in RATES for seed in (0, 1)}
    course = sweep.call()
    assert course.chosen == BEST - {"r=8 learning_rate=0.001"}
    assert any("Missing from the comparison: r=8." in one for one in page_of(course).findings)
