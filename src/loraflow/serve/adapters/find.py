"""Finds an adapter by its name: in the model registry, among the runs, or in a folder."""

import re
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.lock import locked
from loraflow.serve.adapters.adapter import (
    BASE,
    Adapter,
    digest_of,
    loaded_files,
)

if TYPE_CHECKING:
    from loraflow.promote.registry.registry import Registry

ALIASES = ("champion", "challenger", "previous")
_ABOUT = "about.json"
_IS_REGISTERED = re.compile(r"[^/:]+")  # names that MLflow takes


class AdapterFinder:
    """Finds adapters; those that MLflow has are fetched once, to a folder that stays.

    What was fetched is found again when MLflow is away.
    """

    def __init__(
        self, tracking: TrackingConfig, *, registered: str | None, key: str, cache: Path
    ) -> None:
        """Look in the registered model that config key `key` names; keep what is fetched."""
        self._tracking = tracking
        self._registered = registered
        self._key = key
        self._cache = cache

    def find(self, source: str) -> Adapter:
        """Return the adapter that is called champion, challenger, previous, version:N, run:ID, ...

        Raises:
            UserError: if there is none, or it is not whole; a PassingError if MLflow is away.
        """
        kind, _, rest = source.partition(":")
        if source == BASE.source:
            return BASE
        if source in ALIASES:
            return self._of_alias(source)
        if kind == "version" and rest.isdecimal():
            return self.of_version(int(rest), source)
        if kind == "run" and rest:
            return self._of_run(rest, source)
        return _in_folder(source)

    def aliases(self) -> dict[str, int]:
        """Return which version each alias of the registered model is now.

        Raises:
            UserError: if MLflow does not answer; a PassingError if it is away.
        """
        if self._registered is None or not _IS_REGISTERED.fullmatch(self._registered):
            return {}  # such as the folder that a model is called after
        return self._registry.aliases()

    def of_version(self, number: int, source: str) -> Adapter:
        """Return a version of the registered model; `source` is what it was asked for as."""
        version = self._registry.version(number)
        place = self._cache / f"version-{number}-{version.run_id}"
        if place.is_dir():
            return _kept(place, source)

        def fetch(folder: Path) -> None:
            self._registry.fetch(version, folder)

        self._keep(place, fetch, {"run_id": version.run_id, "version": number})
        return _kept(place, source)

    def kept(self, name: str, source: str) -> Adapter | None:
        """Return what an earlier process fetched to the folder `name`, if it is still there."""
        place = self._cache / name
        return _kept(place, source) if place.is_dir() else None

    @cached_property
    def _registry(self) -> "Registry":
        from loraflow.promote.registry.registry import Registry  # noqa: PLC0415 - mlflow

        if self._registered is None:
            raise UserError(
                f"{self._key}=null names no model of the registry, so there is no champion; set "
                f"{self._key}=NAME, or name run:ID or a folder"
            )
        return Registry(self._tracking, self._registered)

    def _of_alias(self, alias: str) -> Adapter:
        number = self.aliases().get(alias)
        if number is None:
            model = self._registered or f"{self._key}=null"
            raise UserError(
                f"{model} has no {alias}: nothing was promoted yet; make nightly does. If "
                f"the nights have another name, set {self._key}=NAME; or name run:ID, a folder, or "
                "base"
            )
        return self.of_version(number, alias)

    def _of_run(self, run_id: str, source: str) -> Adapter:
        from loraflow.tracking.fetch import fetch_trained  # noqa: PLC0415 - mlflow

        place = self._cache / f"run-{run_id}"
        if place.is_dir():
            return _kept(place, source)

        def fetch(folder: Path) -> None:
            folder.mkdir()
            fetch_trained(self._tracking, run_id, out=folder)

        self._keep(place, fetch, {"run_id": run_id, "version": None})
        return _kept(place, source)

    def _keep(self, place: Path, fetch: Callable[[Path], None], facts: Mapping[str, Any]) -> None:
        """Fetch an adapter and the config of its run; a folder that is there has both, whole."""
        from loraflow.tracking.fetch import fetch_revision, fetch_settings  # noqa: PLC0415 - mlflow

        scratch = place.with_name(f".fetching-{place.name}")
        with locked(place.with_name(f".{place.name}.lock")):
            if place.is_dir():  # fetched by another process while this one waited
                return
            shutil.rmtree(scratch, ignore_errors=True)  # what a killed process has left
            about = {
                **facts,
                "settings": fetch_settings(self._tracking, facts["run_id"]),
                "base_revision": fetch_revision(self._tracking, facts["run_id"]),
            }
            try:
                scratch.mkdir()
                fetch(scratch / "trained")
                write_json(scratch / _ABOUT, about)
                scratch.rename(place)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)


def kept_as(adapter: Adapter) -> str:
    """Return the name of the folder that an adapter of MLflow was fetched to."""
    if adapter.folder is None:
        raise ValueError("the base alone is not fetched")
    return adapter.folder.parent.name


def _kept(place: Path, source: str) -> Adapter:
    folder = place / "trained"
    digest = digest_of(loaded_files(source, folder))
    return Adapter(source, folder, digest, **read_json(place / _ABOUT))


def _in_folder(source: str) -> Adapter:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        known = ", ".join([*ALIASES, "version:N", "run:ID", "base"])
        raise UserError(f"{source} is no adapter: name {known}, or a folder that has one")
    return Adapter(source, folder, digest_of(loaded_files(source, folder)), None)
