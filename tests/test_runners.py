"""What the workers of a sweep are told of the machine that they share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import runners
from flows.trial import Assignment, Order
from loraflow.config import RunnerConfig
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
