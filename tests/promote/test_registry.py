"""Champion, previous and challenger in MLflow, and the adapters behind them."""

import shutil
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import mlflow
import pytest

from loraflow.config import QuantizationConfig, TrackingConfig
from loraflow.errors import PassingError, UserError
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from loraflow.promote.registry.version import describe, digests_of, make_tags
from tests.promote.registered import (
    DECISION,
    Night,
    loads,
    places,
    register,
    tracking_in,
    train_night,
)

_NAMES = count()


@pytest.fixture(scope="module")
def base(tiny_folder: Path) -> BaseModel:
    return BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("none", False, "float32"))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> TrackingConfig:
    return tracking_in(tmp_path_factory.mktemp("mlruns"))


@pytest.fixture(scope="module")
def nights(
    tracking: TrackingConfig, base: BaseModel, tmp_path_factory: pytest.TempPathFactory
) -> list[Night]:
    folder = tmp_path_factory.mktemp("trained")
    return [train_night(tracking, base, folder / str(seed), seed) for seed in range(4)]


@pytest.fixture
def registry(tracking: TrackingConfig) -> Iterator[Registry]:
    """A registered model of its own for each test."""
    yield Registry(tracking, f"夜间 {next(_NAMES)}")


def promoted(registry: Registry, *nights: Night) -> None:
    for night in nights:
        registry.promote(register(registry, night), by="schedule", reason="better")


def test_first_night_has_no_champion(registry: Registry, nights: list[Night]) -> None:
    assert places(registry) == (None, None, None)
    assert register(registry, nights[0]).number == 1
    assert places(registry) == (None, None, 1)


def test_registering_twice_makes_one_version(registry: Registry, nights: list[Night]) -> None:
    first, other, again = (register(registry, nights[night]) for night in (0, 1, 0))
    assert (first.number, other.number, again.number) == (1, 2, 1)


def test_version_carries_what_was_decided(registry: Registry, nights: list[Night]) -> None:
    tags = make_tags(DECISION, data="d1", base_revision="b1", config="c1")
    version = registry.register(nights[0].run_id, nights[0].adapter, tags)
    assert version.run_id == nights[0].run_id
    assert version.files == digests_of(nights[0].adapter)
    assert version.tags["decision"] == "promote"
    assert version.tags["numbers"] == (
        "rougeL: 0.269 (0.231 to 0.310); base model: 0.238 (0.210 to 0.266); "
        "difference: +0.031 (+0.012 to +0.050); margin: 0.01; 200 rows"
    )
    assert (version.tags["data"], version.tags["config"]) == ("d1", "c1")
    shown = mlflow.MlflowClient().get_model_version(registry.name, "1").description
    assert shown == describe(version)
    assert shown.startswith("Registered. Promoted: better by 0.031 (0.012 to 0.050), 更好\n")
    assert "\n- refusals passed: 0%" in shown


def test_decision_that_changed_is_the_one_that_is_told(
    registry: Registry, nights: list[Night]
) -> None:
    run_id, adapter = nights[0].run_id, nights[0].adapter
    registry.register(run_id, adapter, {"sentence": "Kept: too few rows"})
    version = registry.register(run_id, adapter, {"sentence": "Promoted"})
    assert (version.number, version.tags["sentence"]) == (1, "Promoted")


def test_promotion_moves_every_alias(registry: Registry, nights: list[Night]) -> None:
    promoted(registry, *nights[:2])
    assert places(registry) == (2, 1, None)
    assert aliases(registry) == {"champion": 2, "previous": 1}
    assert registry.version(1).state == "replaced"
    assert "replaced by version 2, by schedule: better" in registry.version(1).history[-1]
    assert "promoted, by schedule: better" in registry.version(2).history[-1]


def test_promoting_the_champion_again_changes_nothing(
    registry: Registry, nights: list[Night]
) -> None:
    promoted(registry, nights[0], nights[1], nights[1])
    assert places(registry) == (2, 1, None)
    assert len(registry.version(2).history) == 1


def test_rollbacks_go_back_and_never_forth(registry: Registry, nights: list[Night]) -> None:
    promoted(registry, *nights[:3])
    assert registry.rollback(by="ann", reason="worse on\nsupport tickets").number == 2
    assert places(registry) == (2, 1, None)
    assert registry.version(3).state == "rolled back"
    assert "back to version 2, by ann: worse on support" in registry.version(3).history[-1]
    assert "in place of version 3, by ann: worse on" in registry.version(2).history[-1]
    assert registry.rollback(by="ann", reason="worse too").number == 1
    with pytest.raises(UserError, match=r"version=1 of .* has none before it"):
        registry.rollback(by="ann", reason="?")
    assert aliases(registry) == {"champion": 1}


def test_nothing_to_roll_back_is_said(registry: Registry, nights: list[Night]) -> None:
    with pytest.raises(UserError, match="has no champion"):
        registry.rollback(by="ann", reason="?")


def test_what_a_person_rolled_back_no_night_promotes(
    registry: Registry, nights: list[Night]
) -> None:
    promoted(registry, *nights[:2])
    registry.rollback(by="ann", reason="worse")
    again = register(registry, nights[1])
    with pytest.raises(UserError, match=r"version=2 .*rolled back.*by ann: worse.*version=2"):
        registry.promote(again, by="schedule", reason="better")
    assert places(registry) == (1, None, None)


def test_a_person_brings_it_back(registry: Registry, nights: list[Night]) -> None:
    promoted(registry, *nights[:3])
    registry.rollback(by="ann", reason="worse")
    assert registry.rollback(by="bob", reason="it was not", to=3).number == 3
    assert places(registry) == (3, 2, None)
    assert [line.partition(": ")[2] for line in registry.version(3).history] == [
        "promoted, by schedule: better",
        "rolled back to version 2, by ann: worse",
        "brought back in place of version 2, by bob: it was not",
    ]


def test_before_a_version_that_was_never_champion_is_none_that_was_rolled_back(
    registry: Registry, nights: list[Night]
) -> None:
    promoted(registry, *nights[:2])
    register(registry, nights[2])
    registry.rollback(by="ann", reason="worse than 3", to=3)
    assert places(registry) == (3, 1, None)


def test_promotion_after_a_rollback_replaces_what_is_champion(
    registry: Registry, nights: list[Night]
) -> None:
    promoted(registry, *nights[:3])
    registry.rollback(by="ann", reason="worse")
    promoted(registry, nights[3])
    assert places(registry) == (4, 2, None)


def test_unknown_version_is_named(registry: Registry, nights: list[Night]) -> None:
    promoted(registry, nights[0])
    with pytest.raises(UserError, match="version=9 of"):
        registry.rollback(by="ann", reason="?", to=9)
    with pytest.raises(UserError, match=r"version=1 of .* is the champion already"):
        registry.rollback(by="ann", reason="?", to=1)


def test_adapter_that_the_run_has_not_logged_is_refused(
    registry: Registry, nights: list[Night]
) -> None:
    with pytest.raises(UserError, match=f"run={nights[0].run_id} has not logged this adapter"):
        registry.register(nights[0].run_id, nights[1].adapter, {})
    assert places(registry) == (None, None, None)


def test_fetched_adapter_loads(
    registry: Registry, nights: list[Night], base: BaseModel, tmp_path: Path
) -> None:
    version = register(registry, nights[0])
    assert loads(registry, version, base, tmp_path / "fetched")
    assert digests_of(tmp_path / "fetched") == digests_of(nights[0].adapter)


def test_damaged_adapter_is_neither_fetched_nor_champion(
    tracking: TrackingConfig, registry: Registry, base: BaseModel, tmp_path: Path
) -> None:
    whole, damaged = (train_night(tracking, base, tmp_path / str(seed), seed) for seed in (50, 51))
    promoted(registry, whole)
    version = register(registry, damaged)
    weights = stored(damaged) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"not what was registered \(adapter_model.safetensors"):
        registry.fetch(version, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    with pytest.raises(UserError, match="not what was registered"):
        registry.promote(version, by="schedule", reason="better")
    assert places(registry) == (1, None, 2)
    shutil.rmtree(stored(damaged))
    with pytest.raises(UserError, match=r"cannot be read|not what was registered"):
        registry.fetch(version, tmp_path / "fetched")


def test_two_promotions_at_once_take_turns(
    tracking: TrackingConfig, registry: Registry, nights: list[Night]
) -> None:
    promoted(registry, nights[0])
    versions = [register(registry, night) for night in nights[1:3]]
    threads = [
        threading.Thread(
            target=Registry(tracking, registry.name).promote,
            args=[version],
            kwargs={"by": "schedule", "reason": "better"},
        )
        for version in versions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert places(registry) in {(2, 3, None), (3, 2, None)}


def test_no_other_champion_is_replaced_than_the_one_that_was_measured(
    registry: Registry, nights: list[Night]
) -> None:
    promoted(registry, *nights[:2])
    version = register(registry, nights[2])
    registry.rollback(by="ann", reason="worse")
    for over in (2, None):
        with pytest.raises(PassingError, match="was moved while the challenger was measured"):
            registry.promote(version, by="schedule", reason="better", over=over)
    assert places(registry) == (1, None, 3)
    registry.promote(version, by="schedule", reason="better", over=1)
    assert places(registry) == (3, 1, None)


def test_move_by_another_machine_is_noticed(
    registry: Registry, nights: list[Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock file does not hold another machine; its journal takes the place of ours."""
    promoted(registry, nights[0])
    version = register(registry, nights[1])
    move = mlflow.MlflowClient.set_registered_model_alias

    def both(client: mlflow.MlflowClient, name: str, alias: str, number: str) -> None:
        move(client, name, alias, number)
        client.delete_registered_model_tag(name, "move")

    monkeypatch.setattr(mlflow.MlflowClient, "set_registered_model_alias", both)
    with pytest.raises(UserError, match="another machine moved the champion"):
        registry.promote(version, by="schedule", reason="better")


def test_server_that_is_away_is_named(tmp_path: Path) -> None:
    away = TrackingConfig("http://127.0.0.1:9", None, "nights", "http://127.0.0.1:9")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(UserError, match=r"tracking.uri=http://127.0.0.1:9 does not answer"):
            Registry(away, "nightly")


def aliases(registry: Registry) -> dict[str, int]:
    found = mlflow.MlflowClient().get_registered_model(registry.name).aliases
    return {alias: int(number) for alias, number in found.items()}


def stored(night: Night) -> Path:
    """Return the folder in which MLflow keeps a night's adapter."""
    client = mlflow.MlflowClient()
    experiment = client.get_run(night.run_id).info.experiment_id
    query = f"source_run_id='{night.run_id}'"
    (model,) = client.search_logged_models([experiment], filter_string=query)
    return Path(model.artifact_location.removeprefix("file://"))
