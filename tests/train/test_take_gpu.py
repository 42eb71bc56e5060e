"""Processes that train together take a GPU each."""

import pytest
import torch

from loraflow.errors import UserError
from loraflow.train.machine import take_gpu


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two GPUs, of which those are listed that were taken."""
    places: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", places.append)
    return places


def test_each_takes_another(taken: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        take_gpu(2)
    assert taken == [0, 1]


def test_one_that_none_is_left_for_is_refused(
    taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match=r"train\.processes=3 .*; set train\.processes=2"):
        take_gpu(3)
    assert taken == []


def test_without_gpus_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    take_gpu(2)
