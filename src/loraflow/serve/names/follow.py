"""Follows the aliases of the model registry: when `champion` moves there, it moves here.

Whatever goes wrong, names stay as they are and the next look tries again.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from loraflow.errors import PassingError, UserError
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.adapters.cache import kept_as
from loraflow.serve.adapters.find import ALIASES, AdapterFinder
from loraflow.serve.names.note import noted, read_note, write_note

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0
_LONGEST_PAUSE = 300.0  # seconds between two tries of a version that cannot be served


@dataclass(frozen=True)
class RegistryState:
    """How the registry was when it was last asked."""

    up: bool
    seen: float  # when it last answered, in Unix time; 0: never
    fault: str = ""  # why it does not answer, or an alias could not be followed


class Movable(Protocol):
    """Names that can be moved: of the engine here, or of another server."""

    def point(self, name: str, adapter: Adapter) -> None:
        """Have `name` mean `adapter`; raise if that cannot be, and leave the name as it was."""

    def drop(self, name: str) -> None:
        """Have `name` mean nothing any more."""

    def tidy(self) -> None:
        """Do what is due now and then."""


@dataclass(frozen=True)
class _Refusal:
    """A version that could not be served as an alias."""

    version: int
    fault: str
    pause: float  # seconds until it is tried again
    until: float  # when that is, by time.monotonic()


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
        self._last: dict[str, Adapter] = {}  # what a server before this one followed
        self._noted: dict[str, Adapter] = {}
        self._refused: dict[str, _Refusal] = {}  # by alias
        self._waits = False  # for what may pass: nothing is deleted that it may need
        self._faults: list[str] = []  # of the last look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
        self.state = RegistryState(up=False, seen=0.0)

    def start(self) -> None:
        """Look once, then go on looking in the background."""
        self._last = noted(self._note, self._finder.cache)
        self.look()
        if not self.state.up:
            log.warning("serving the aliases as they were when the registry last answered")
        self._thread.start()

    def close(self) -> None:
        """Look no more; a registry that never answers is not waited for."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def look(self) -> None:
        """Ask the registry, and follow what has moved; if it is away, all stays as it is."""
        error = _error_of(self._look)
        if error is None:
            return
        if self.state.up or not self.state.fault:
            log.warning("%s; names stay as they are", _words(error), exc_info=_unexpected(error))
        self.state = RegistryState(False, self.state.seen, _words(error))
        self._tell(self._follow_last())

    def _look(self) -> None:
        aliases = self._finder.aliases()
        faults = self._follow({alias: aliases[alias] for alias in ALIASES if alias in aliases})
        self._tell(faults)
        self.state = RegistryState(True, time.time(), "; ".join(faults))

    def _tell(self, faults: list[str]) -> None:
        """Log what was not so at the look before."""
        for fault in faults:
            if fault not in self._faults:
                log.warning("%s", fault)
        self._faults = faults

    def _follow(self, wanted: dict[str, int]) -> list[str]:
        """Move names, and return why some could not be moved, or what else went wrong."""
        self._waits = False
        faults = [self._move(alias, number) for alias, number in wanted.items()]
        left = {alias: one for alias, one in self._last.items() if alias in wanted}
        self._last = {alias: one for alias, one in left.items() if alias not in self._followed}
        faults += self._follow_last()
        for alias in set(self._followed) - set(wanted):
            self._names.drop(alias)
            del self._followed[alias]
        errors = map(_error_of, (self._write_note, self._names.tidy, self._prune))
        return list(filter(None, [*faults, *map(_words, filter(None, errors))]))

    def _move(self, alias: str, number: int) -> str:
        """Have an alias mean a version, and return why that could not be.

        What may pass by itself is tried again at every look; anything else after pauses that grow,
        since each try may fetch the files, and puts them on a model.
        """
        followed, refused = self._followed.get(alias), self._refused.get(alias)
        if followed is not None and followed.version == number:
            return ""
        if refused is not None and refused.version == number and time.monotonic() < refused.until:
            return refused.fault
        error = _error_of(lambda: self._point(alias, self._finder.of_version(number, alias)))
        if error is None:
            self._refused.pop(alias, None)
            return ""
        if isinstance(error, PassingError):
            self._waits = True
            return f"{alias} stays as it was for now: {error}"
        return self._refuse(alias, number, error)

    def _refuse(self, alias: str, number: int, error: Exception) -> str:
        """Try a version again only after a pause, twice as long as the one before."""
        if bug := _unexpected(error):
            log.warning("version %d cannot be served", number, exc_info=bug)
        before, pause = self._refused.get(alias), self._seconds
        if before is not None and before.version == number:
            pause = min(2 * before.pause, _LONGEST_PAUSE)
        fault = f"{alias} stays as it was: version {number} cannot be served: {_words(error)}"
        self._refused[alias] = _Refusal(number, fault, pause, time.monotonic() + pause)
        return fault

    def _follow_last(self) -> list[str]:
        """Have aliases mean what they did before this server was started; return what fails."""
        faults = []
        for alias, adapter in [*self._last.items()]:
            error = _error_of(partial(self._point, alias, adapter))
            if not isinstance(error, PassingError):
                del self._last[alias]
            if error is not None:
                faults.append(f"{alias} is not served: {_words(error)}")
        return faults

    def _point(self, alias: str, adapter: Adapter) -> None:
        self._names.point(alias, adapter)
        log.info("%s is %s now", alias, adapter.short)
        self._followed[alias] = adapter

    def _write_note(self) -> None:
        if self._followed != self._noted:
            write_note(self._note, self._followed)
            self._noted = dict(self._followed)

    def _prune(self) -> None:
        """Delete versions that were followed once, unless a note or another process has them."""
        if self._waits:
            return
        followed = map(kept_as, self._followed.values())
        self._finder.cache.prune({*followed, *read_note(self._note).values()})

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self.look()


def _error_of(work: Callable[[], None]) -> Exception | None:
    """Do something, and return what went wrong."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the follower has to go on, and with other aliases
        return error
    return None


def _unexpected(error: Exception) -> Exception | None:
    """Return an error that may be a bug, so that its traceback belongs in the log."""
    return None if isinstance(error, UserError | OSError) else error


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
