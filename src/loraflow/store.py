"""Content-addressed stage outputs: a folder that exists is complete, named by what made it."""

import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.disk import disk_full_is_named, flush_folder
from loraflow.files import hash_content, read_json, write_json
from loraflow.hardware import hardware
from loraflow.lock import locked, share
from loraflow.measure import Cost, measured

RESULT = "result.json"
SPENT = "spent.json"  # beside unfinished work: what it has cost so far
LOCKS, USED, UNFINISHED = "locks", "used", "unfinished"  # folders that are no stage's
_KEPT = "Finished stages are kept: the same command goes on after the last of them."

Summary = Mapping[str, Any]
"""What a stage reports of its work: counts and metrics, as JSON values."""


@dataclass(frozen=True)
class Key:
    """The name of a stage output: a digest of everything that its content depends on."""

    stage: str
    digest: str
    inputs: Mapping[str, Any]


def make_key(stage: str, version: int, *, reads: Sequence[Key] = (), **inputs: Any) -> Key:
    """Return the key of what `stage` makes of `inputs` (JSON values) and the outputs it reads.

    Raise `version` when a change of code changes the output: older outputs are then left alone.
    """
    named = {"version": version, **inputs, "reads": [[key.stage, key.digest] for key in reads]}
    text = json.dumps([stage, named], sort_keys=True, ensure_ascii=False)
    return Key(stage, hashlib.sha256(text.encode()).hexdigest(), named)


class Store:
    """A folder of stage outputs, safe to share between processes and to delete."""

    def __init__(self, root: Path, *, config_key: str = "store") -> None:
        """Keep outputs below `root`, the value of `config_key`; made when the first one is."""
        self.root = root.absolute()
        self._config_key = config_key
        self._held: dict[str, int] = {}
        weakref.finalize(self, _release, self._held)

    def folder(self, key: Key) -> Path:
        """Return where the output of `key` is, or will be."""
        return self.root / key.stage / key.digest[:20]

    def has(self, key: Key) -> bool:
        """Tell whether the output of `key` is there, whole."""
        return self.folder(key).is_dir()

    def run(self, key: Key, stage: Callable[[Path], Summary]) -> Path:
        """Return the output of `key`, made by `stage` unless it is there already.

        `stage` fills the empty folder that it is given. The folder takes its final name only when
        `stage` has returned and all is on disk, so a process killed at any moment leaves nothing
        that passes for complete. A second process that wants the same output waits for the first.
        result.json, beside what the stage wrote, has the key's inputs, the summary, the cost, the
        hardware, and the digest of each file.

        Raises:
            UserError: if the disk is full.
        """
        final = self.folder(key)
        partial = final.with_name(f"{final.name}.partial")
        with disk_full_is_named(self._config_key, self.root, _KEPT), self.lock(key):
            self.hold(key)
            if not self.has(key):
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                summary, cost = self._measure(key, partial, stage)
                result = {"stage": key.stage, "key": key.digest, "inputs": key.inputs}
                result |= {"hardware": hardware(), "digests": _digests(partial)}
                write_json(partial / RESULT, {**result, **summary, **cost.as_dict()})
                flush_folder(partial)
                partial.rename(final)
            shutil.rmtree(self.work(key), ignore_errors=True)
        return final

    def _measure(
        self, key: Key, partial: Path, stage: Callable[[Path], Summary]
    ) -> tuple[Summary, Cost]:
        """Run a stage; its cost has what earlier processes spent on the work it goes on with."""
        noted = self.work(key) / SPENT
        earlier = Cost(**read_json(noted)) if noted.is_file() else None
        try:
            with measured() as cost:
                summary = stage(partial)
        finally:
            whole = cost if earlier is None else cost.behind(earlier)
            _note_spent(noted, whole)
        return summary, whole

    def hold(self, *keys: Key) -> None:
        """Keep `keys` from being tidied up while this store is in use, and note the use.

        That is their outputs, those that are still to be made included, and unfinished work.
        """
        for key in keys:
            if key.digest not in self._held:
                self._held[key.digest] = share(self.root / USED / key.digest[:20])
            os.utime(self._held[key.digest])

    def work(self, key: Key) -> Path:
        """Return a folder for what an interrupted stage can go on with; gone with the output."""
        return self.root / UNFINISHED / key.stage / key.digest[:20]

    def result(self, key: Key) -> dict[str, Any]:
        """Return the result.json of a finished output."""
        result: dict[str, Any] = read_json(self.folder(key) / RESULT)
        return result

    def lock(self, key: Key) -> AbstractContextManager[None]:
        """Hold `key` against other processes that would make the same output."""
        return locked(self.root / LOCKS / key.digest[:20])


def _release(held: Mapping[str, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)


def _note_spent(path: Path, cost: Cost) -> None:
    """Note what unfinished work has cost; where none is kept, or the disk is full, nothing."""
    partial = path.with_suffix(".partial")
    with suppress(OSError):
        if path.parent.is_dir():
            write_json(partial, cost.as_dict())
            partial.replace(path)


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file, by its name in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_content(path) for path in files}
