"""A folder of adapters that were fetched, each once; what is in use is never deleted."""

import os
import shutil
import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from loraflow.disk import flush_folder
from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.lock import locked, locked_if_free, share
from loraflow.serve.adapters.adapter import Adapter, digest_of, loaded_files

_ABOUT = "about.json"  # beside what was trained: what else is known of it
_TRAINED = "trained"
_PARTIAL = ".fetching-"  # before the name: not whole yet, or not any more
_VERSION = "version-*"

Fill = Callable[[Path], Mapping[str, Any]]
"""Makes the folder that it is given, and returns what is known of the adapter beside its files."""


class AdapterCache:
    """Adapters by name. What a process has found is locked against deletion by all others."""

    def __init__(self, root: Path) -> None:
        """Keep adapters below `root`."""
        self._root = root
        self._held: dict[str, int] = {}  # descriptors of lock files, by name
        self._pinned: frozenset[str] = frozenset()
        weakref.finalize(self, _release, self._held)

    def find(self, name: str, source: str) -> Adapter | None:
        """Return what was fetched under `name`, if it is still there."""
        self._hold(name)
        return _read(self._root / name, source) if (self._root / name).is_dir() else None

    def matching(self, pattern: str, source: str) -> list[Adapter]:
        """Return what was fetched under names of a pattern."""
        found = [self.find(path.name, source) for path in sorted(self._root.glob(pattern))]
        return [adapter for adapter in found if adapter is not None]

    def fetch(self, name: str, source: str, fill: Fill) -> Adapter:
        """Return what is there under `name`; if nothing is, have it filled first.

        A folder that is there is whole, whatever was killed when.
        """
        self._hold(name)
        place = self._root / name
        with locked(self._root / f".{name}.lock"):
            if place.is_dir() and not _is_whole(place, source):  # as after a power cut
                shutil.rmtree(place)
            if not place.is_dir():  # nor fetched by another process while this one waited
                self._fill(place, source, fill)
        return _read(place, source)

    def pin(self) -> None:
        """Have what was found so far stay to the end of this process."""
        self._pinned = frozenset(self._held)

    def prune(self, keep: Collection[str]) -> None:
        """Delete registered versions that are neither kept, nor pinned, nor used elsewhere."""
        for name in set(self._held) - {*keep, *self._pinned}:
            os.close(self._held.pop(name))
        for folder in [*self._root.glob(_VERSION), *self._root.glob(_PARTIAL + _VERSION)]:
            name = folder.name.removeprefix(_PARTIAL)
            if name not in self._held and name not in keep:
                self._delete(name)

    def _hold(self, name: str) -> None:
        if name not in self._held:
            self._held[name] = share(self._in_use(name))

    def _in_use(self, name: str) -> Path:
        return self._root / f".{name}.used.lock"

    def _partial(self, name: str) -> Path:
        return self._root / f"{_PARTIAL}{name}"

    def _fill(self, place: Path, source: str, fill: Fill) -> None:
        partial = self._partial(place.name)
        shutil.rmtree(partial, ignore_errors=True)  # what a killed process has left
        try:
            partial.mkdir()
            about = fill(partial / _TRAINED)
            digest = digest_of(loaded_files(source, partial / _TRAINED))
            write_json(partial / _ABOUT, {**about, "digest": digest})
            flush_folder(partial)
            partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _delete(self, name: str) -> None:
        """Rename, then delete; leave alone what another process uses."""
        with locked_if_free(self._in_use(name)) as is_free:
            if is_free:
                partial = self._partial(name)
                shutil.rmtree(partial, ignore_errors=True)
                if (self._root / name).is_dir():
                    (self._root / name).rename(partial)
                    shutil.rmtree(partial)


def kept_as(adapter: Adapter) -> str:
    """Return the name that an adapter of MLflow was fetched under."""
    if adapter.folder is None:
        raise ValueError("the base alone is not fetched")
    return adapter.folder.parent.name


def _read(place: Path, source: str) -> Adapter:
    folder = place / _TRAINED
    digest = digest_of(loaded_files(source, folder))
    about = dict(read_json(place / _ABOUT))
    if about.pop("digest") != digest:
        raise UserError(f"{source}: what was fetched of it is damaged; delete {place}")
    return Adapter(source, folder, digest, **about)


def _is_whole(place: Path, source: str) -> bool:
    try:
        _read(place, source)
    except (OSError, LookupError, TypeError, ValueError):
        return False
    return True


def _release(held: Mapping[str, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)
