"""What is noted of a trial that fails."""

import logging
from pathlib import Path
from typing import Any

import pytest

from flows import trial as trials
from flows.trial import Assignment, Order, run_trial
from loraflow.sweep.outcome import Notes
from loraflow.sweep.trials import Trial

TRIAL = Trial("r=4", {"adapter.r": 4}, {"adapter.r": 4, "train.seed": 0}, 0, {})


def reason_noted(error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a trial that ends with `error`."""

    def fail(_: Any) -> None:
        raise error

    monkeypatch.chdir(folder)  # as a trial does, for good
    monkeypatch.setattr(trials, "_run", fail)
    monkeypatch.setattr(trials, "share_machine", lambda *_, **__: None)
    with pytest.raises(type(error)):
        run_trial(Assignment(Order(TRIAL), {}, folder / "notes", "parent", folder))
    outcome = Notes(folder / "notes").read(TRIAL)
    assert outcome is not None
    return outcome.reason


def test_secrets_are_in_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = ConnectionError("https://me:word@host says no to Bearer sk-abcdefghijk")
    with caplog.at_level(logging.WARNING):
        reason = reason_noted(error, tmp_path, monkeypatch)
    assert reason == "ConnectionError: https://***@host says no to Bearer ***"
    assert "word" not in caplog.text


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory.\nTried ...")])
def test_what_to_do_is_said_where_memory_was_short(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = reason_noted(error, tmp_path, monkeypatch)
    assert reason.startswith("out of memory: ")
    assert "Tried" not in reason
    for key in ("train.per_device_train_batch_size", "train.max_length", "evaluate.batch_size"):
        assert key in reason
