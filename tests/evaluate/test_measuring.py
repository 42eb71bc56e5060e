"""An evaluation loads its base itself, or uses one that others use too."""

from pathlib import Path
from typing import Any

import pytest

from loraflow.evaluate.measuring import Measuring
from loraflow.model import lend
from loraflow.model.lend import ModelLender
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from tests.conftest import composed


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[BaseModel]:
    bases: list[BaseModel] = []

    def counting(base: BaseModel) -> Any:
        bases.append(base)
        return load_base(base)

    monkeypatch.setattr(lend, "load_base", counting)
    return bases


def ask(measuring: Measuring, work: Path) -> None:
    with measuring.arm(None, work).model():
        pass


def test_a_lender_of_others_stays_open(
    tiny_base: BaseModel, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    lender = ModelLender()
    for _ in range(2):
        measuring = Measuring(composed(), tiny_base, tiny_base, lender)
        ask(measuring, tmp_path)
        measuring.close()
    lender.share(tiny_base, unpacked=False)
    assert len(loaded) == 1


def test_without_a_lender_the_base_is_let_go(
    tiny_base: BaseModel, tmp_path: Path, loaded: list[BaseModel]
) -> None:
    measuring = Measuring(composed(), tiny_base, tiny_base)
    for _ in range(2):
        ask(measuring, tmp_path)
    assert len(loaded) == 1
    measuring.close()
    ask(measuring, tmp_path)
    assert len(loaded) == 2
