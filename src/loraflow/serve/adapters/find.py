"""Finds an adapter by its name: in the model registry, among the runs, or in a folder."""

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loraflow.config import TrackingConfig
from loraflow.errors import PassingError, UserError
from loraflow.serve.adapters.adapter import BASE, CONFIG, Adapter, digest_of, loaded_files
from loraflow.serve.adapters.cache import AdapterCache

if TYPE_CHECKING:
    from loraflow.promote.registry.registry import Registry

ALIASES = ("champion", "challenger", "previous")
_IS_REGISTERED = re.compile(r"[^/:]+")  # names that MLflow takes


class AdapterFinder:
    """Finds adapters; those that MLflow has are fetched once, to a folder that stays.

    A version and a run that were fetched are found again when MLflow is away. Which version an
    alias is, only MLflow knows.
    """

    def __init__(
        self, tracking: TrackingConfig, *, registered: str | None, key: str, cache: Path
    ) -> None:
        """Look in the registered model that config key `key` names; keep what is fetched."""
        self._tracking = tracking
        self._registered = registered
        self._key = key
        self.cache = AdapterCache(cache)

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

    @property
    def has_aliases(self) -> bool:
        """Tell whether the registry can have a model of this name, whose aliases can be asked."""
        name = self._registered  # such as the folder that a model is called after
        return name is not None and _IS_REGISTERED.fullmatch(name) is not None

    def aliases(self) -> dict[str, int]:
        """Return which version each alias of the registered model is now.

        Raises:
            UserError: if MLflow does not answer; a PassingError if it is away.
        """
        return self._registry.aliases() if self.has_aliases else {}

    def of_version(self, number: int, source: str) -> Adapter:
        """Return a version of the registered model; `source` is what it was asked for as.

        Raises:
            UserError: if there is none, or it is not whole; a PassingError if MLflow is away.
        """
        try:
            version = self._registry.version(number)
        except PassingError:
            fetched = self.cache.matching(f"version-{number}-*", source)
            found = [one for one in fetched if one.registered == self._registered]
            if len(found) != 1:  # two: the model was deleted, and its name used again
                raise
            return found[0]

        def fill(folder: Path) -> dict[str, Any]:
            known = self._known_of(version.run_id)
            is_adapter = CONFIG in version.files  # else it is a whole model
            self._registry.fetch(version, folder if is_adapter else folder / "model")
            return {**known, "version": number, "registered": self._registered}

        return self.cache.fetch(f"version-{number}-{version.run_id}", source, fill)

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
        def fill(folder: Path) -> dict[str, Any]:
            from loraflow.tracking.fetch import fetch_trained  # noqa: PLC0415 - mlflow

            known = self._known_of(run_id)
            folder.mkdir()
            fetch_trained(self._tracking, run_id, out=folder)
            return known

        return self.cache.fetch(f"run-{run_id}", source, fill)

    def _known_of(self, run_id: str) -> dict[str, Any]:
        """Return what the run tells of its adapter: the config and the base of the training."""
        from loraflow.tracking.fetch import fetch_revision, fetch_settings  # noqa: PLC0415 - mlflow

        return {
            "run_id": run_id,
            "settings": fetch_settings(self._tracking, run_id),
            "base_revision": fetch_revision(self._tracking, run_id),
        }


def _in_folder(source: str) -> Adapter:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        known = ", ".join([*ALIASES, "version:N", "run:ID", "base"])
        raise UserError(f"{source} is no adapter: name {known}, or a folder that has one")
    return Adapter(source, folder, digest_of(loaded_files(source, folder)), None)
