"""The note of what was followed last: a server that starts while MLflow is away serves the same."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.adapters.cache import AdapterCache, kept_as

log = logging.getLogger(__name__)

_FAULTS = (OSError, LookupError, TypeError, ValueError)  # of a file, or a folder, that is damaged


def noted(note: Path, cache: AdapterCache) -> dict[str, Adapter]:
    """Return what the aliases were when the registry last answered, as far as it is kept here."""
    try:
        names = read_note(note)
    except UserError as error:
        log.warning("%s; so nothing is known of before", error)
        return {}
    found = {}
    for alias, name in names.items():
        try:
            adapter = cache.find(name, alias)
        except _FAULTS as error:
            log.warning("what %s was before cannot be read: %s", alias, error)
            continue
        if adapter is not None:
            found[alias] = adapter
    return found


def read_note(note: Path) -> dict[str, str]:
    """Return under which name the adapter of each alias was fetched.

    Raises:
        UserError: if the note is damaged.
    """
    try:
        return dict(read_json(note)) if note.is_file() else {}
    except _FAULTS as error:
        raise UserError(f"{note.name} cannot be read ({error}); delete it") from error


def write_note(note: Path, followed: Mapping[str, Adapter]) -> None:
    """Note what is followed; a kill half-way leaves the note before.

    Other servers may write the same one.

    Raises:
        UserError: if it cannot be written.
    """
    scratch = note.with_suffix(f".{os.getpid()}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(scratch, {alias: kept_as(adapter) for alias, adapter in followed.items()})
        os.replace(scratch, note)
    except OSError as error:
        raise UserError(
            f"{note.name} is not written: {error}; free space, or set serve.folder=FOLDER"
        ) from error
