"""Experiments that MLflow has not got: written beside their outputs, logged by `make sync`."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from loraflow.config import Config
from loraflow.errors import UserError, fault_of
from loraflow.files import read_json, write_json
from loraflow.model.source import BaseModel
from loraflow.plan.experiment import Plan
from loraflow.tracking.provenance import Provenance

OUTBOX = "outbox"


@dataclass(frozen=True)
class Unlogged:
    """All that it takes to log a finished experiment out of the store, whatever changes since."""

    name: str
    parent: str | None  # MLflow run of the sweep that it is a trial of
    run: str  # MLflow run that was opened for it and is not complete; empty: none was
    config: Config
    plan: Plan
    base: BaseModel
    judge: BaseModel
    started: Provenance


@dataclass(frozen=True)
class _Note:
    needs: list[str]  # digests of all stages that are read when it is logged
    unlogged: dict[str, Any]


_NOTE, _FORMAT = TypeAdapter(_Note), TypeAdapter(Unlogged)


def write_unlogged(root: Path, unlogged: Unlogged) -> Path:
    """Note an experiment in the store `root`; the file is whole or not there."""
    plan, path = unlogged.plan, _path_of(root, unlogged)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    needs = [*plan.digests().values(), plan.evaluation.page.digest]
    write_json(partial, {"needs": needs, "unlogged": _FORMAT.dump_python(unlogged, mode="json")})
    partial.replace(path)
    return path


def noted_run(root: Path, unlogged: Unlogged) -> str:
    """Return the MLflow run that an earlier note of the same experiment names, if one does."""
    path = _path_of(root, unlogged)
    return str(_read(path).unlogged["run"]) if path.exists() else ""


def read_unlogged(path: Path) -> Unlogged:
    """Read what `write_unlogged` wrote.

    Raises:
        UserError: if it cannot be read any more.
    """
    note = _read(path)
    with _explained(path):
        return _FORMAT.validate_python(note.unlogged)


def unlogged_files(root: Path) -> list[Path]:
    """Return what waits in the store `root`."""
    return sorted((root / OUTBOX).glob("*.json"))


def unlogged_trials(root: Path, parent: str) -> list[Path]:
    """Return what waits in the store `root` of the sweep whose MLflow run is `parent`."""
    return [path for path in unlogged_files(root) if _read(path).unlogged["parent"] == parent]


def unlogged_digests(root: Path) -> Iterator[str]:
    """Return the digests of all stages that are read when what waits is logged."""
    for path in unlogged_files(root):
        yield from _read(path).needs


def _read(path: Path) -> _Note:
    with _explained(path):
        return _NOTE.validate_python(read_json(path))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # of JSON, UTF-8 and pydantic
        raise UserError(
            f"{path} cannot be read ({fault_of(error)}), as after an update that renamed a key of "
            "the config; start the command of its experiment again, which logs it out of the "
            "store, and delete the file"
        ) from error


def _path_of(root: Path, unlogged: Unlogged) -> Path:
    plan, tracking = unlogged.plan, unlogged.config.tracking
    where = [plan.experiment.digest, unlogged.parent, tracking.uri, tracking.experiment]
    name = hashlib.sha256(json.dumps(where).encode()).hexdigest()[:20]
    return root / OUTBOX / f"{name}.json"
