"""Follows the aliases of the model registry: when `champion` moves there, it moves here.

What the aliases were is noted in a file, so that a server that starts while the registry is away
serves what it served last.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from loraflow.errors import PassingError, UserError
from loraflow.files import read_json, write_json
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.adapters.find import ALIASES, AdapterFinder, kept_as

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class RegistryState:
    """How the registry was when it was last asked."""

    up: bool
    seen: float  # when it last answered, in Unix time; 0: never
    fault: str = ""  # why it does not answer, or an alias could not be followed


class Movable(Protocol):
    """Names that can be moved: of the engine here, or of another server."""

    def point(self, name: str, adapter: Adapter) -> None:
        """Have `name` mean `adapter`."""

    def drop(self, name: str) -> None:
        """Have `name` mean nothing any more."""

    def tidy(self) -> None:
        """Do what is due now and then."""


def noted(note: Path, finder: AdapterFinder) -> dict[str, Adapter]:
    """Return what the aliases were when the registry last answered, as far as it is kept here."""
    if not note.is_file():
        return {}
    try:
        names = dict(read_json(note))
    except (OSError, TypeError, ValueError) as error:
        log.warning("%s cannot be read, so nothing is known of before: %s", note.name, error)
        return {}
    found = {alias: finder.kept(name, alias) for alias, name in names.items()}
    return {alias: adapter for alias, adapter in found.items() if adapter is not None}


class Follower:
    """Asks the registry again and again, in a thread of its own."""

    def __init__(
        self, names: Movable, finder: AdapterFinder, *, note: Path, seconds: float
    ) -> None:
        """Move names as the registry's aliases move, looked at every `seconds`."""
        self._names = names
        self._finder = finder
        self._note = note
        self._seconds = seconds
        self._followed: dict[str, Adapter] = {}
        self._noted: dict[str, Adapter] = {}
        self._refused: dict[tuple[str, int], str] = {}  # why a version is not served as an alias
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
        self._faults: list[str] = []  # of the last look
        self.state = RegistryState(up=False, seen=0.0)

    def start(self) -> None:
        """Look once, then go on looking in the background."""
        self.look()
        if not self.state.up:
            log.warning("serving the aliases as they were when the registry last answered")
            self._follow_note()
        self._thread.start()

    def close(self) -> None:
        """Look no more; a registry that never answers is not waited for."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def look(self) -> None:
        """Ask the registry, and follow what has moved; if it is away, all stays as it is."""
        try:
            aliases = self._finder.aliases()
        except UserError as error:
            if self.state.up or not self.state.fault:
                log.warning("%s; names stay as they are", error)
            self.state = RegistryState(False, self.state.seen, str(error))
            return
        wanted = {alias: number for alias, number in aliases.items() if alias in ALIASES}
        faults = self._follow(wanted)
        for fault in faults:
            if fault not in self._faults:
                log.warning("%s", fault)
        self._faults = faults
        self.state = RegistryState(True, time.time(), "; ".join(faults))
        self._names.tidy()

    def _follow(self, wanted: dict[str, int]) -> list[str]:
        """Move names, and return why some could not be moved."""
        faults = [self._move(alias, number) for alias, number in wanted.items()]
        for alias in set(self._followed) - set(wanted):
            self._names.drop(alias)
            del self._followed[alias]
        return list(filter(None, [*faults, self._write_note()]))

    def _move(self, alias: str, number: int) -> str:
        followed = self._followed.get(alias)
        if followed is not None and followed.version == number:
            return ""
        if (alias, number) in self._refused:
            return self._refused[alias, number]
        try:
            self._point(alias, self._finder.of_version(number, alias))
        except (PassingError, OSError) as error:  # such as a full disk
            return f"{alias} stays as it was for now: {error}"
        except UserError as error:
            fault = f"{alias} stays as it was: version {number} cannot be served: {error}"
            self._refused[alias, number] = fault
            return fault
        return ""

    def _follow_note(self) -> None:
        for alias, adapter in noted(self._note, self._finder).items():
            try:
                self._point(alias, adapter)
            except UserError as error:
                log.warning("%s is not served: %s", alias, error)

    def _point(self, alias: str, adapter: Adapter) -> None:
        self._names.point(alias, adapter)
        log.info("%s is %s now", alias, adapter.short)
        self._followed[alias] = adapter

    def _write_note(self) -> str:
        """Note what is followed, if that is new, and return why that could not be done.

        A kill half-way leaves the note before. Other servers may write the same one.
        """
        if self._followed == self._noted:
            return ""
        scratch = self._note.with_suffix(f".{os.getpid()}")
        try:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            write_json(scratch, {alias: kept_as(one) for alias, one in self._followed.items()})
            os.replace(scratch, self._note)
        except OSError as error:
            return f"{self._note.name} is not written: {error}"
        self._noted = dict(self._followed)
        return ""

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self.look()
            except Exception as error:  # the next look may do better, and there has to be one
                if str(error) != self.state.fault:
                    log.exception("the registry could not be followed; names stay as they are")
                self.state = RegistryState(False, self.state.seen, str(error))
