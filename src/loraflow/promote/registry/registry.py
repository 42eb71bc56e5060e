"""The MLflow model registry: which adapter is champion, which was before, and who decided it.

Aliases: `champion` is in use, `previous` is the version it replaced, `challenger` the one that was
registered last, until it is champion. What `previous` is follows from the tags of the champion, so
that a rollback after a rollback goes one champion further back, and never forth again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from mlflow.exceptions import MlflowException

from loraflow.config import TrackingConfig
from loraflow.errors import PassingError, UserError
from loraflow.lock import locked
from loraflow.promote.registry.adapters import fetch_whole, find_logged, link_version
from loraflow.promote.registry.entries import Entries
from loraflow.promote.registry.move import Move, make_move
from loraflow.promote.registry.moving import carry_out, repair
from loraflow.promote.registry.version import (
    FILES,
    REGISTERED,
    REPLACED,
    ROLLED_BACK,
    Version,
    as_tag,
    digests_of,
)
from loraflow.tracking.connection import Unreachable, connect, is_outage, lock_file

Anyone = Literal["anyone"]


class Registry:
    """The versions of one registered model. Every method raises UserError if MLflow is away."""

    def __init__(self, tracking: TrackingConfig, name: str) -> None:
        """Reach MLflow; the model `name` is made there with its first version."""
        self._tracking = tracking
        self.name = name
        self._client, _ = connect(tracking)
        self._entries = Entries(self._client, tracking, name)

    def champion(self) -> Version | None:
        """Return the version in use."""
        with self._explained():
            return self._entries.at("champion")

    def challenger(self) -> Version | None:
        """Return the version that was registered last, unless it has become champion."""
        with self._explained():
            return self._entries.at("challenger")

    def previous(self) -> Version | None:
        """Return what a rollback goes to: the version that the champion replaced."""
        with self._explained():
            champion = self._entries.at("champion")
            before = None if champion is None else champion.replaces
            return None if before is None else self._entries.find(before)

    def aliases(self) -> dict[str, int]:
        """Return the number of the version of each alias."""
        with self._explained():
            return self._entries.aliases()

    def version(self, number: int) -> Version:
        """Return the version of a number.

        Raises:
            UserError: if there is none.
        """
        with self._explained():
            if (found := self._entries.find(number)) is None:
                raise UserError(
                    f"version={number} of {self.name} does not exist; make ui shows, under "
                    "Model registry, those that do"
                )
            return found

    def retired(self, files: Mapping[str, str]) -> Version | None:
        """Return a version of these files that was champion and is not any more, if there is one.

        The first that a person has rolled back, before one that a promotion has replaced.
        """
        with self._explained():
            found = (self._entries.in_state(state, files) for state in (ROLLED_BACK, REPLACED))
            return next((version for version in found if version is not None), None)

    def register(self, run_id: str, folder: Path, tags: Mapping[str, str]) -> Version:
        """Make the adapter in `folder`, which the run has logged, a version, and return it.

        The same adapter of the same run is one version, however often it is registered.

        Raises:
            UserError: if the run has logged no such adapter.
        """
        files = digests_of(folder)
        with self._writing():
            version = self._entries.of_run(run_id, files)
            if version is None:
                source = find_logged(self._client, run_id, files)
                version = self._entries.create(source, run_id, {**tags, FILES: as_tag(files)})
            self._entries.tag(version, tags)
            link_version(self._client, version.source, self.name, version.number)
            if version.state == REGISTERED:
                self._entries.point("challenger", version.number)
            return self._entries.describe(version.number)

    def promote(
        self, version: Version, *, by: str, reason: str, over: int | Anyone | None = "anyone"
    ) -> Version:
        """Make a version champion that never was; `previous` is the one it replaces.

        Args:
            version: what `register` returned
            by: who does it
            reason: why
            over: the champion that it was measured against; None: there was none

        Raises:
            PassingError: if another one than `over` is champion by now.
            UserError: if it has been champion before, or its adapter is not whole.
        """
        with self._writing():
            champion = self._entries.at("champion")
            if champion is not None and champion.number == version.number:
                return champion
            version = self.version(version.number)
            if version.state != REGISTERED:
                raise UserError(
                    f"version={version.number} has been champion, and is {version.state} "
                    f"({version.history[-1]}); only a person brings it back: "
                    f"make rollback ARGS='version={version.number} reason=\"...\"'"
                )
            start = None if champion is None else champion.number
            if over not in ("anyone", start):
                raise PassingError(
                    f"the champion of {self.name} was moved while the challenger was measured "
                    "against another one; it is measured again"
                )
            return self._move(make_move("promotion", start, version.number, by=by, reason=reason))

    def rollback(self, *, by: str, reason: str, to: int | None = None) -> Version:
        """Make `previous`, or the version `to`, champion again, and return it.

        `previous` is then what that one had replaced in its time. If an earlier rollback was cut
        short, it is finished instead: who starts the command again wants no second one.

        Raises:
            UserError: if there is nothing to go back to, or its adapter is not whole.
        """
        with self._writing() as finished:
            champion = self._entries.at("champion")
            if champion is None:
                raise UserError(f"{self.name} has no champion, so there is nothing to roll back")
            if finished is not None and finished.kind == "rollback" and to in (None, finished.end):
                return champion
            end = self._before(champion) if to is None else self.version(to).number
            if end == champion.number:
                raise UserError(f"version={end} of {self.name} is the champion already")
            return self._move(make_move("rollback", champion.number, end, by=by, reason=reason))

    def fetch(self, version: Version, out: Path) -> Path:
        """Fetch the adapter of a version to the folder `out`, and return it.

        Raises:
            UserError: if its files are not those that were registered.
        """
        if not version.files:
            raise UserError(
                f"version={version.number} of {self.name} has no tag {FILES}, so nobody can tell "
                "whether it is whole; register adapters by make nightly"
            )
        with self._explained():
            fetch_whole(version.source, version.files, out=out)
        return out

    def repair(self) -> None:
        """Finish or drop a move of `champion` that was cut short; else do nothing."""
        with self._writing():
            pass

    def _before(self, champion: Version) -> int:
        number = champion.replaces
        if number is None or self._entries.find(number) is None:
            raise UserError(
                f"version={champion.number} of {self.name} has none before it to roll back to; "
                "name one of those that make ui shows: "
                "make rollback ARGS='version=N reason=\"...\"'"
            )
        return number

    def _move(self, move: Move) -> Version:
        with TemporaryDirectory() as scratch:
            self.fetch(self.version(move.end), Path(scratch) / "adapter")
        if not carry_out(self._entries, move):
            raise UserError(
                f"another machine moved the champion of {self.name} at the same time; look at it "
                "in make ui, and start the command again if it is still needed"
            )
        return self.version(move.end)

    @contextmanager
    def _writing(self) -> Iterator[Move | None]:
        """Let one process of this machine write, on what the last one left."""
        with self._explained(), locked(lock_file(self._tracking, "registry")):
            yield repair(self._entries)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            fault = Unreachable if is_outage(self._tracking, error) else UserError
            raise fault(
                f"tracking.uri={self._tracking.uri}: the model registry does not answer, or not as "
                f"it should: {str(error)[:200]}; start its server, then try again"
            ) from error
