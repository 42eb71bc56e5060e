"""What all steps of a night share: what was asked for, the line and its registry, the store."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE

from flows.night_command import NightRequest
from flows.stages import Stages, Start
from loraflow.promote.line import Diary, Line
from loraflow.promote.record import NightRecord
from loraflow.store import Store, make_key

if TYPE_CHECKING:
    from loraflow.promote.registry.registry import Registry
    from loraflow.promote.registry.version import Version

_Result = TypeVar("_Result")


def step(name: str, work: Callable[..., _Result], *values: Any) -> _Result:
    """Run a step that is no stage as a task of its own."""
    task = Task(work, name=name, task_run_name=name, persist_result=False, cache_policy=NO_CACHE)
    return task(*values)


def tell(request: NightRequest, record: NightRecord, page: Path | None) -> None:
    """Tell who is to know of the record of a night, with the history page, if it is drawn."""
    from loraflow.promote.notify import notify

    step("tell", notify, request.night.hooks, record, page)


@dataclass
class Tonight:
    """A night under way."""

    request: NightRequest  # a sweep may change what is trained
    line: Line
    diary: Diary

    @cached_property
    def store(self) -> Store:
        """Return where the outputs of stages are."""
        return Store(self.request.config.store)

    @cached_property
    def registry(self) -> "Registry":
        """Return the line's registered model.

        Raises:
            PassingError: if MLflow is away; the next use tries again.
        """
        from loraflow.promote.registry.registry import Registry

        return Registry(self.request.config.tracking, self.request.night.name)

    def note(self) -> None:
        """Write the diary down, for the case that the night is killed."""
        self.line.note(self.diary)

    def fetch(self, stages: Stages, version: "Version") -> Start:
        """Copy an adapter of the registry to the store, where evaluation and training find it."""
        key = make_key("champion", 1, files=version.files)
        name = "adapter" if "adapter_config.json" in version.files else "model"

        def fetch(*, out: Path) -> dict[str, Any]:
            self.registry.fetch(version, out / name)
            return {"version": version.number}

        return Start(key, stages.run(stages.store, key, fetch))
