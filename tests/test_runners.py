"""What the workers of a sweep are told of the machine they share, and what their death does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import runners
from flows.trial import Assignment, Order
from loraflow.config import RunnerConfig
from loraflow.sweep.outcome import Notes
from loraflow.sweep.trials import Trial


@pytest.mark.parametrize(
    ("runner", "shares"),
    [
        (RunnerConfig("processes", 3, None, 0), (3, 3)),
        (RunnerConfig("processes", 3, None, 1), (3, 1)),
        (RunnerConfig("ray", 3, "ray://head:10001", 0), (1, 1)),
    ],
)
def test_a_gpu_is_shared_where_no_worker_has_one_alone(
    runner: RunnerConfig, shares: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_out: list[Assignment] = []

    def submit(_: Any, parameters: dict[str, Assignment]) -> Any:
        handed_out.append(parameters["assignment"])
        return SimpleNamespace(wait=lambda: None)

    @contextmanager
    def run(_: RunnerConfig) -> Iterator[Any]:
        yield SimpleNamespace(submit=submit)

    monkeypatch.setitem(runners._RUNNERS, runner.kind, run)
    order = Order(Trial("r=1", {}, {}, 0, {}))
    assignment = Assignment(order, {}, Path(), "", Path())
    runners.run_trials([assignment], runner, lambda _: True)
    assert [(one.share, one.gpu_share) for one in handed_out] == [shares]


def test_who_kills_its_worker_alone_has_failed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []

    @contextmanager
    def run(_: RunnerConfig) -> Iterator[Any]:
        killed: list[str] = []  # of this pool, with which all that comes behind it goes down

        def submit(_: Any, parameters: dict[str, Assignment]) -> Any:
            name = parameters["assignment"].order.trial.arm
            killed.extend([name] if name in ("r=2", "r=4") else [])
            done.extend([] if killed else [name])
            return SimpleNamespace(wait=lambda: None)

        yield SimpleNamespace(submit=submit)

    monkeypatch.setitem(runners._RUNNERS, "processes", run)
    trials = [Trial(f"r={r}", {}, {}, 0, {}) for r in (1, 2, 3, 4, 5)]
    assignments = [Assignment(Order(trial), {}, tmp_path, "", Path()) for trial in trials]
    notes = Notes(tmp_path)

    def has_ended(assignment: Assignment) -> bool:
        trial = assignment.order.trial
        return trial.arm in done or notes.read(trial) is not None

    runners.run_trials(assignments, RunnerConfig("processes", 2, None, 0), has_ended)
    assert done == ["r=1", "r=3", "r=5"]
    failed = [outcome for trial in trials if (outcome := notes.read(trial))]
    assert [(one.trial, one.state, one.failures) for one in failed] == [
        ("r=2 seed=0", "failed", 1),
        ("r=4 seed=0", "failed", 1),
    ]
    assert "memory ran out: lower train.per_device" in failed[0].reason
