"""What `make compare` says before it compares anything."""

from types import SimpleNamespace
from typing import Any

import pytest

from flows.compare import compare
from loraflow.check import dump_config
from loraflow.errors import UserError
from tests.conftest import composed


def test_a_wrong_metric_is_named_though_a_margin_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dump_config(composed())

    def fetch(*_: Any) -> Any:
        return SimpleNamespace(settings=settings)

    monkeypatch.setattr("loraflow.tracking.fetch.fetch_trial", fetch)
    with pytest.raises(UserError, match=r"^metric=rougel is no .*did you mean rougeL"):
        compare.fn("two", ["a", "b"], settings, metric="rougel", margin=0.02)
