"""Looks for new data by content, and waits for files that are still being written."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from loraflow.config import DataConfig
from loraflow.data.read.sources import find_sources, fingerprint
from loraflow.errors import PassingError
from loraflow.promote.record import NightRecord

log = logging.getLogger("loraflow")

_MOST_WAITS = 10
_DECIDED = {  # what a night that ended so says of data that have not changed since
    "promoted": "a challenger was trained on these data, and promoted",
    "kept": "a challenger was trained on these data, and the champion was kept",
    "stopped": "these data were refused",
}

Stamps = Mapping[Path, tuple[int, int]]
"""File -> bytes and time of the last change."""


def settled_fingerprint(
    data: DataConfig, settle_seconds: float, *, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Return the digest of all files of `data`, once none of them is being written any more.

    What a clock says that was set back or forward does not matter: a file counts as settled when it
    has not changed for `settle_seconds` of waiting, or was last written longer ago.

    Raises:
        PassingError: if files keep changing.
    """
    apart = replace(data, split=replace(data.split, held_out_path=None))
    stamps = _stamps(apart)
    for _ in range(_MOST_WAITS):
        if not _is_fresh(stamps, settle_seconds):
            return fingerprint(apart)
        log.info("data were just written to; waiting %.0f s for the rest", settle_seconds)
        sleep(settle_seconds)
        before, stamps = stamps, _stamps(apart)
        if stamps == before:
            return fingerprint(apart)
    newest = max(stamps, key=lambda path: stamps[path][1])
    raise PassingError(
        f"data.path: {newest} is still being written after {_MOST_WAITS * settle_seconds:.0f} s; "
        "start the night when it is whole, or write to another name and rename it at the end"
    )


def why_nothing_new(fingerprint: str, settings: str, nights: Sequence[NightRecord]) -> str | None:
    """Say why there is nothing to train, or None if there is.

    There is if the data have changed since the last night that came to a decision, or the settings.
    """
    decided = (one for one in reversed(nights) if one.outcome in _DECIDED)
    last = next((one for one in decided if "fingerprint" in one.data), None)  # none by hand
    if last is None or last.data["fingerprint"] != fingerprint:
        return None
    if last.data.get("settings") != settings:
        return None
    return f"no new data: {_DECIDED[last.outcome]} in the night {last.id}"


def _stamps(data: DataConfig) -> Stamps:
    found = {}
    for source in find_sources(data):
        about = source.path.stat()
        found[source.path] = (about.st_size, about.st_mtime_ns)
    return found


def _is_fresh(stamps: Stamps, seconds: float) -> bool:
    now = time.time_ns()
    return any(now - changed < seconds * 1e9 for _, changed in stamps.values())
