"""Weights that an alias points to stay; those of other old nights go, and MLflow says so."""

from functools import partialmethod
from pathlib import Path
from urllib.parse import unquote

import mlflow
import pytest

from loraflow.config import QuantizationConfig, TrackingConfig
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from loraflow.promote.tidy.artifacts import TIDIED, weights_of_nights
from loraflow.promote.tidy.keep import aliased_versions
from loraflow.promote.tidy.tidy import tidy
from tests.promote.registered import Night, loads, places, register, tracking_in, train_night


@pytest.fixture(scope="module")
def base(tiny_folder: Path) -> BaseModel:
    return BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("none", False, "float32"))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> TrackingConfig:
    return tracking_in(tmp_path_factory.mktemp("版本"))


@pytest.fixture(scope="module")
def nights(
    tracking: TrackingConfig, base: BaseModel, tmp_path_factory: pytest.TempPathFactory
) -> list[Night]:
    folder = tmp_path_factory.mktemp("trained")
    return [train_night(tracking, base, folder / str(seed), seed) for seed in range(6)]


def tidy_weights(tracking: TrackingConfig, name: str, store: Path) -> list[Path]:
    with weights_of_nights(tracking, name) as weights:
        return [piece.path for piece in tidy(store, 0, {}, weights)]


def test_champion_previous_and_challenger_stay_though_the_budget_is_zero(
    tracking: TrackingConfig, base: BaseModel, nights: list[Night], tmp_path: Path
) -> None:
    registry = Registry(tracking, "夜间")
    for night in nights[:2]:
        registry.promote(register(registry, night), by="schedule", reason="better")
    kept, challenger = register(registry, nights[2]), register(registry, nights[3])
    assert places(registry) == (2, 1, 4)
    assert len(tidy_weights(tracking, "夜间", tmp_path / "store")) == 1
    for number in (1, 2, challenger.number):
        assert loads(registry, registry.version(number), base, tmp_path / str(number))
    with pytest.raises(UserError):
        registry.fetch(registry.version(kept.number), tmp_path / "kept")
    with pytest.raises(UserError):
        registry.rollback(by="anna", reason="", to=kept.number)
    assert TIDIED in registry.version(kept.number).tags
    assert TIDIED not in registry.version(2).tags
    assert mlflow.MlflowClient(tracking.uri).get_run(kept.run_id).info.status == "FINISHED"
    assert tidy_weights(tracking, "夜间", tmp_path / "store") == []


def test_weights_that_another_model_points_to_stay(
    tracking: TrackingConfig, base: BaseModel, nights: list[Night], tmp_path: Path
) -> None:
    first, second = Registry(tracking, "first"), Registry(tracking, "second")
    register(first, nights[4])
    register(first, nights[5])
    shared = register(second, nights[4])
    assert tidy_weights(tracking, "first", tmp_path / "store") == []
    assert loads(second, shared, base, tmp_path / "shared")


def test_what_needs_weights_is_found_on_every_page_of_models(
    tracking: TrackingConfig, nights: list[Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        register(Registry(tracking, f"page {name}"), nights[0])
    search = mlflow.MlflowClient.search_registered_models
    paged = partialmethod(search, max_results=1)
    monkeypatch.setattr(mlflow.MlflowClient, "search_registered_models", paged)
    found = {alias for alias, _ in aliased_versions(mlflow.MlflowClient(tracking.uri))}
    assert {"challenger of page one", "challenger of page two"} <= found


def test_a_tidying_that_was_cut_short_is_finished_and_tagged(
    tracking: TrackingConfig, base: BaseModel, tmp_path: Path
) -> None:
    registry = Registry(tracking, "cut short")
    nights = [train_night(tracking, base, tmp_path / str(seed), seed) for seed in (7, 8)]
    old, _ = [register(registry, night) for night in nights]
    model = mlflow.MlflowClient(tracking.uri).get_logged_model(old.source.removeprefix("models:/"))
    folder = Path(unquote(model.artifact_location.removeprefix("file://")))
    trash = folder.rename(folder.with_name(folder.name + ".trash"))  # killed behind this
    assert tidy_weights(tracking, "cut short", tmp_path / "store") == [trash]
    assert not trash.exists()
    assert TIDIED in registry.version(old.number).tags
