"""One note that is no good holds up no other, no night and no new run of its experiment."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows import sync as command
from flows.sync import sync
from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.model.source import BaseModel
from loraflow.outbox import Unlogged, noted_run, unlogged_digests, unlogged_files, write_unlogged
from loraflow.plan.experiment import make_plan
from loraflow.tracking.provenance import provenance
from tests.conftest import composed


@pytest.fixture
def unlogged(tiny_overrides: list[str], tiny_base: BaseModel) -> Unlogged:
    config = composed(*tiny_overrides)
    plan = make_plan(config, tiny_base)
    return Unlogged("一夜", None, "r1", config, plan, tiny_base, tiny_base, provenance())


@pytest.fixture
def root(unlogged: Unlogged) -> Path:
    return Path(unlogged.config.store)


def rename_key(note: Path) -> None:
    """Let a note be as before an update that renamed a key of the config."""
    content: dict[str, Any] = read_json(note)
    adapter = content["unlogged"]["config"]["adapter"]
    adapter["rank"] = adapter.pop("r")
    write_json(note, content)


def test_a_note_that_cannot_be_read_is_named_and_the_others_are_logged(
    unlogged: Unlogged,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(command, "_log", lambda root, unlogged: "r2")
    renamed = write_unlogged(root, replace(unlogged, parent="sweep"))
    rename_key(renamed)
    torn = renamed.with_name("torn.json")
    torn.write_text('{"needs": [')
    write_unlogged(root, unlogged)
    assert sync(root) == {unlogged.plan.experiment.digest: "r2"}
    assert unlogged_files(root) == sorted([renamed, torn])
    for name, fault in {renamed.name: "config.adapter", torn.name: "Expecting value"}.items():
        assert f"{name} is not in MLflow yet" in caplog.text
        assert fault in caplog.text
    with pytest.raises(UserError, match=r"torn\.json cannot be read"):  # so nothing is tidied up
        list(unlogged_digests(root))


def test_a_note_with_another_config_makes_way_for_a_new_run(unlogged: Unlogged, root: Path) -> None:
    rename_key(write_unlogged(root, unlogged))
    assert noted_run(root, unlogged) == "r1"
    write_unlogged(root, unlogged)
    assert len(unlogged_files(root)) == 1
