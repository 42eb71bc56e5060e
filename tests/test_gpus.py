"""Workers of a sweep take the GPUs that it was given, each others."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest
import torch

from flows import gpus
from flows.gpus import require_gpus, take_gpus, visible_gpus
from loraflow.config import RunnerConfig
from loraflow.errors import UserError

NAMES = "CUDA_VISIBLE_DEVICES"


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(NAMES, "3, MIG-a/b")


def test_each_worker_takes_another_of_those_that_the_sweep_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_gpus(1)
    first = os.environ[NAMES]
    monkeypatch.setenv(NAMES, "3, MIG-a/b")  # as the next worker finds it
    take_gpus(1)
    assert (first, os.environ[NAMES]) == ("3", "MIG-a/b")


def test_without_names_gpus_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAMES)
    assert visible_gpus() == ["0", "1"]


def test_a_worker_that_is_to_have_none_leaves_them_as_they_are() -> None:
    take_gpus(0)
    assert os.environ[NAMES] == "3, MIG-a/b"


def locked(gpu: str) -> int:
    descriptor = os.open(gpus._lock_file(gpu), os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def test_a_worker_waits_until_enough_are_free_and_holds_none_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = locked("3")

    def let_go(_: float) -> None:
        os.close(locked("MIG-a/b"))  # fails if the waiting worker holds it
        os.close(other)

    monkeypatch.setattr("flows.gpus.time.sleep", let_go)
    take_gpus(2)
    assert os.environ[NAMES] == "3,MIG-a/b"


@pytest.mark.parametrize(("workers", "gpus"), [(3, 1), (2, 2)])
def test_more_than_there_are_is_refused(workers: int, gpus: int) -> None:
    fault = rf"^runner\.workers={workers} with runner\.gpus={gpus} .* 2 can be seen; lower runner"
    with pytest.raises(UserError, match=fault):
        require_gpus(RunnerConfig("processes", workers, None, gpus))


@pytest.mark.parametrize(
    "runner",
    [
        RunnerConfig("processes", 2, None, 1),
        RunnerConfig("processes", 3, None, 0),
        RunnerConfig("ray", 3, "ray://head:10001", 1),  # counts its own
    ],
)
def test_what_there_is_may_be_used(runner: RunnerConfig) -> None:
    require_gpus(runner)
