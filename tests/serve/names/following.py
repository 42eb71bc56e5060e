"""A registry whose champion moves, and followers of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from loraflow.config import TemplateConfig, TrackingConfig
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from loraflow.serve.adapters.find import AdapterFinder
from loraflow.serve.engine.engine import Engine
from loraflow.serve.names.follow import Follower
from loraflow.serve.names.names import Names
from tests.promote.registered import Night
from tests.serve.trained_runs import log_run, promote


@dataclass
class Nights:
    """Nights of the registered model m, and the folder in which its adapters are kept."""

    tracking: TrackingConfig
    base: BaseModel
    folder: Path

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.tracking, "m")

    @property
    def note(self) -> Path:
        return self.folder / "aliases.json"

    def promote(self, seed: int, base: BaseModel | None = None) -> Night:
        """Make the next version champion."""
        night = log_run(self.tracking, base or self.base, self.folder / str(seed), seed)
        promote(self.registry, night)
        return night

    def finder(self) -> AdapterFinder:
        cache = self.folder / "cache"
        return AdapterFinder(self.tracking, registered="m", key="serve.registered", cache=cache)

    def follower(self, names: Names) -> Follower:
        """One that looks often; all share what was fetched, and the note."""
        return Follower(names, self.finder(), note=self.note, seconds=0.05)

    def fetched(self) -> list[int]:
        """Return the versions that are kept."""
        kept = (self.folder / "cache").glob("version-*")
        return sorted(int(path.name.split("-")[1]) for path in kept)


def names_of(engine: Engine) -> Names:
    return Names(engine, TemplateConfig("native", None))


def versions(names: Names) -> dict[str, int | None]:
    return {named.name: named.adapter.version for named in names.listed()}


def until(is_so: Callable[[], object]) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("never came")
