"""How a stage is run: as a Prefect task of its own, or plainly inside the task of a trial."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from prefect import State, Task
from prefect.states import Completed

from loraflow.store import Key, Store, Summary

log = logging.getLogger("loraflow")


class RunStage(Protocol):
    """Returns the output of a stage, made by `work` unless the store has it."""

    def __call__(self, store: Store, key: Key, work: Callable[..., Summary], arm: str = "") -> Path:
        """Run the stage; `arm` tells two of one kind apart."""


def run_as_task(store: Store, key: Key, work: Callable[..., Summary], arm: str = "") -> Path:
    """Run a stage as a task; one whose output is there ends as `Cached` in the dashboard."""
    title = _title(key, arm)
    folder = store.folder(key)
    store.hold(key)

    def stage(digest: str) -> "Path | State[Path]":
        if folder.is_dir():
            log.info("%-15s reused %s", title, folder)
            return Completed(name="Cached", message=f"reused {folder}", data=folder)
        return _make(store, key, work, title)

    Task(stage, name=title, task_run_name=title, persist_result=False)(key.digest)
    return folder


def run_plainly(store: Store, key: Key, work: Callable[..., Summary], arm: str = "") -> Path:
    """Run a stage of a trial, which is one task as a whole; reuse is worth no line there."""
    store.hold(key)
    return store.folder(key) if store.has(key) else _make(store, key, work, _title(key, arm))


def _make(store: Store, key: Key, work: Callable[..., Summary], title: str) -> Path:
    log.info("%-15s started", title)
    folder = store.run(key, lambda out: work(out=out))
    log.info("%-15s done in %.0f s", title, store.result(key)["seconds"])
    return folder


def _title(key: Key, arm: str) -> str:
    return f"{key.stage} {arm}".strip()
