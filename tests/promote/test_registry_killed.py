"""Killed before any of its changes in MLflow, a champion loads, and all recovers."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import mlflow
import pytest

from loraflow.config import QuantizationConfig, TrackingConfig
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from tests.promote.killed import Work, promote_number, register_one, roll_back, work_until_killed
from tests.promote.registered import Night, loads, places, register, tracking_in, train_night

_FEWEST = 4  # changes of any of these works


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
    return [train_night(tracking, base, folder / str(seed), seed) for seed in range(3)]


class Kills:
    """Registries of two promoted versions and a third one, each with a kill one change later."""

    def __init__(self, tracking: TrackingConfig, nights: list[Night]) -> None:
        self._tracking = tracking
        self._nights = nights
        self.changes = 0

    def of(self, work: Work, *, promoted: int, registered: int) -> Iterator[Registry]:
        for self.changes in count():
            registry = Registry(self._tracking, f"{id(self)} {self.changes}")
            for number, night in enumerate(self._nights[:registered]):
                version = register(registry, night)
                if number < promoted:
                    registry.promote(version, by="schedule", reason="better")
            if not work_until_killed(work, self._tracking, registry.name, self.changes):
                return
            yield Registry(self._tracking, registry.name)


@pytest.fixture
def kills(tracking: TrackingConfig, nights: list[Night]) -> Iterator[Kills]:
    found = Kills(tracking, nights)
    yield found
    assert found.changes >= _FEWEST


def test_killed_promotion_leaves_a_whole_champion_and_is_finished(
    kills: Kills, base: BaseModel, tmp_path: Path
) -> None:
    """The next night repairs, then finds the champion that was there, and may promote again."""
    seen = set()
    for registry in kills.of(promote_number(3), promoted=2, registered=3):
        champion = registry.champion()
        assert champion is not None
        assert loads(registry, champion, base, tmp_path / str(kills.changes))
        seen.add(champion.number)
        registry.repair()
        assert_is_settled(registry, (3, 2, None) if champion.number == 3 else (2, 1, 3))
        registry.promote(registry.version(3), by="schedule", reason="better")
        assert_is_settled(registry, (3, 2, None))
    assert seen == {2, 3}


def test_killed_first_promotion_is_finished(kills: Kills) -> None:
    for registry in kills.of(promote_number(1), promoted=0, registered=1):
        registry.promote(registry.version(1), by="schedule", reason="better")
        assert_is_settled(registry, (1, None, None))


def test_killed_rollback_leaves_a_whole_champion_and_is_finished(
    kills: Kills, base: BaseModel, tmp_path: Path
) -> None:
    for registry in kills.of(roll_back, promoted=3, registered=3):
        champion = registry.champion()
        assert champion is not None
        assert loads(registry, champion, base, tmp_path / str(kills.changes))
        registry.rollback(by="ann", reason="worse")  # once in all, as if never killed
        assert_is_settled(registry, (2, 1, None))
        assert registry.version(3).state == "rolled back"


def test_killed_registration_makes_one_version(kills: Kills, nights: list[Night]) -> None:
    night = nights[1]
    for registry in kills.of(register_one(night.run_id, night.adapter), promoted=1, registered=1):
        assert register(registry, night).number == 2
        assert_is_settled(registry, (1, None, 2))
        found = mlflow.MlflowClient().search_model_versions(f"name = '{registry.name}'")
        assert len(found) == 2


def assert_is_settled(registry: Registry, expected: tuple[int | None, ...]) -> None:
    """All that a registry says agrees: methods, aliases, states, and no journal is left."""
    assert places(registry) == expected
    model = mlflow.MlflowClient().get_registered_model(registry.name)
    names = ("champion", "previous", "challenger")
    wanted = {name: number for name, number in zip(names, expected, strict=True) if number}
    assert {name: int(number) for name, number in model.aliases.items()} == wanted
    assert "move" not in model.tags
    champion = registry.champion()
    assert champion is not None
    assert champion.state == "champion"
    assert len(champion.history) == len(set(champion.history))
