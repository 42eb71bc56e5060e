"""One name, one adapter: out of the registry, a run or a folder, and once fetched, kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from loraflow.serve.adapters.adapter import BASE
from loraflow.serve.adapters.cache import kept_as
from loraflow.serve.adapters.find import AdapterFinder
from loraflow.serve.adapters.settings import config_of
from loraflow.tracking.connection import Unreachable
from tests.promote.registered import tracking_in
from tests.serve.made_adapters import make_adapter
from tests.serve.trained_runs import log_run, log_whole_model, promote, settings_of

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def tracking(tmp_path: Path) -> TrackingConfig:
    return tracking_in(tmp_path)


def finder(tracking: TrackingConfig, tmp_path: Path, registered: str | None = "m") -> AdapterFinder:
    return AdapterFinder(
        tracking, registered=registered, key="serve.registered", cache=tmp_path / "cache"
    )


def test_a_version_its_run_and_a_copy_of_its_folder_are_one_adapter(
    tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    registry = Registry(tracking, "m")
    night = log_run(tracking, tiny_base, tmp_path / "a", 1, "template=alpaca")
    promote(registry, night)
    found = finder(tracking, tmp_path)
    champion, version, run, folder = (
        found.find(source)
        for source in ("champion", "version:1", f"run:{night.run_id}", str(night.adapter))
    )
    assert {one.digest for one in (champion, version, run, folder)} == {champion.digest}
    assert (champion.version, champion.run_id, run.version) == (1, night.run_id, None)
    assert (champion.base_revision, folder.base_revision) == (tiny_base.revision, None)
    assert folder.settings is None
    assert champion.settings and champion.settings["template"]["name"] == "alpaca"
    assert found.aliases() == {"champion": 1}
    assert found.find("base") is BASE


def test_what_was_fetched_is_not_fetched_again(
    tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    night = log_run(tracking, tiny_base, tmp_path / "a", 1)
    promote(Registry(tracking, "m"), night)
    first = finder(tracking, tmp_path).find("champion")
    MlflowClient(tracking.uri).delete_run(night.run_id)
    again = finder(tracking, tmp_path)
    assert again.find("champion") == first
    assert again.cache.find(kept_as(first), "champion") == first
    assert again.cache.find("version-9-gone", "champion") is None


def test_a_version_that_was_fetched_is_found_when_the_registry_is_away(
    tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        promote(Registry(tracking, "m"), log_run(tracking, tiny_base, tmp_path / str(seed), seed))
    promote(Registry(tracking, "other"), log_run(tracking, tiny_base, tmp_path / "3", 3))
    first = finder(tracking, tmp_path).find("version:1")
    assert finder(tracking, tmp_path, "other").find("version:1").digest != first.digest

    def away(*_: object) -> None:
        raise Unreachable("the model registry does not answer")

    for asked in ("version", "aliases"):
        monkeypatch.setattr(Registry, asked, away)
    assert finder(tracking, tmp_path).find("version:1") == first
    for source in ("version:2", "champion"):
        with pytest.raises(Unreachable, match="does not answer"):
            finder(tracking, tmp_path).find(source)
    with pytest.raises(Unreachable, match="does not answer"):
        finder(tracking, tmp_path, "neither").find("version:1")


def test_a_registered_model_that_was_trained_whole_is_told_from_an_adapter(
    tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    promote(Registry(tracking, "m"), log_whole_model(tracking, tiny_base, tmp_path / "full"))
    found = finder(tracking, tmp_path).find("champion")
    assert found.is_whole_model and found.folder is not None
    assert (found.folder / "model" / "model.safetensors").is_file()


def test_what_a_killed_fetch_has_left_is_cleared_by_the_next(
    tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    night = log_run(tracking, tiny_base, tmp_path / "a", 1)
    left = tmp_path / "cache" / f".fetching-run-{night.run_id}"
    (left / "trained").mkdir(parents=True)
    (left / "trained" / "adapter_model.safetensors").write_bytes(b"half")
    found = finder(tracking, tmp_path).find(f"run:{night.run_id}")
    assert found.folder and found.folder.parent.name == f"run-{night.run_id}"
    assert not left.exists()


def test_the_config_of_a_run_goes_with_it_but_for_this_machine_and_the_command_line(
    tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    night = log_run(tracking, tiny_base, tmp_path / "a", 1, "template=alpaca", "adapter.r=2")
    adapter = finder(tracking, tmp_path).find(f"run:{night.run_id}")
    here = settings_of(tiny_base, f"store={tmp_path / 'mine'}", "adapter.r=9", "judge=none")
    recalled = config_of(adapter, here, ["judge=none"])
    assert (recalled.template.name, recalled.adapter.r) == ("alpaca", 2)
    assert (recalled.store, recalled.judge) == (tmp_path / "mine", here.judge)
    assert config_of(BASE, here, []) is here
    renamed = replace(adapter, settings={**(adapter.settings or {}), "held_out_rows": 9})
    with pytest.raises(UserError, match=f"the settings of run {night.run_id} cannot be used here"):
        config_of(renamed, here, [])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("champion", "m has no champion: nothing was promoted yet"),
        ("version:7", "version=7 of m does not exist"),
        ("run:0123456789abcdef0123456789abcdef", "is no run with a config"),
        ("no/such/folder", "no/such/folder is no adapter: name champion"),
        ("chmapion", "chmapion is no adapter"),
    ],
)
def test_what_is_not_there_is_named(
    tracking: TrackingConfig, tmp_path: Path, source: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        finder(tracking, tmp_path).find(source)


def test_without_a_registered_model_there_is_no_champion(
    tracking: TrackingConfig, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"serve\.registered=null"):
        finder(tracking, tmp_path, registered=None).find("champion")


def test_pickled_weights_are_refused_by_name(
    tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    folder = make_adapter(tiny_base, tmp_path / "old", 1)
    (folder / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapter_model.bin")
    with pytest.raises(UserError, match=r"only adapter_model\.bin; other formats can hide code"):
        finder(tracking, tmp_path).find(str(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no adapter_config\.json"):
        finder(tracking, tmp_path).find(str(tmp_path / "empty"))


@pytest.mark.parametrize("damaged", ["about.json", "adapter_model.safetensors"])
def test_what_a_power_cut_has_damaged_is_fetched_again(
    tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path, damaged: str
) -> None:
    night = log_run(tracking, tiny_base, tmp_path / "a", 1)
    promote(Registry(tracking, "m"), night)
    first = finder(tracking, tmp_path).find("champion")
    assert first.folder is not None
    file = next(first.folder.parent.rglob(damaged))
    file.write_bytes(file.read_bytes()[:-10])
    assert finder(tracking, tmp_path).find("champion") == first
