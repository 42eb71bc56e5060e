"""`make estimate` shows parts and machine, needs no weights, and refuses what cannot fit."""

import shutil
from pathlib import Path

import pytest

from flows.estimate import _run
from loraflow.errors import UserError
from loraflow.estimate import machine
from loraflow.estimate.machine import Machine
from tests.conftest import composed


@pytest.fixture
def overrides(tiny_folder: Path, tmp_path: Path) -> list[str]:
    """Choose a model of which nothing but config.json is there."""
    shutil.copy(tiny_folder / "config.json", tmp_path)
    return ["model=folder", f"model.location={tmp_path}", "quantization=none"]


def test_parts_and_table_are_shown(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _run(composed(*overrides))
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("weights", "activations", "libraries", "free"))
    assert all(model in shown for model in ("7B", "13B", "65B"))


def test_what_cannot_fit_is_shown_and_refused(
    overrides: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "this_machine", lambda: Machine("RAM", 2**30, 2**20))
    with pytest.raises(UserError, match="takes about"):
        _run(composed(*overrides))
    assert "activations" in capsys.readouterr().out


def test_a_hub_model_that_cannot_be_had_is_named() -> None:
    with pytest.raises(UserError, match=r"^model\.location=no/such .*its config\.json"):
        _run(composed("model=hub", "model.location=no/such"))
