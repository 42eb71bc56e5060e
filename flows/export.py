"""A trained adapter for others to load: alone, merged, in fewer bits, as GGUF, with a model card.

python -m flows.export export.adapter=run:RUN_ID
python -m flows.export export=merged                 # the champion, in the weights of its base
"""

import logging
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass as checked

from flows.command import run_safely
from flows.console import speak_plainly
from flows.used_command import Used, read_used, used_words
from loraflow.config import ExportConfig
from loraflow.config.values import STRICT
from loraflow.errors import UserError
from loraflow.serve.export.wish import require_consistent

if TYPE_CHECKING:
    from loraflow.serve.adapters.adapter import Adapter
    from loraflow.serve.export.card import Known, RoundTrip
    from loraflow.serve.export.subject import Subject

log = logging.getLogger(__name__)


@checked(frozen=True, config=STRICT)
class Sections:
    """What an export has beside the experiment's own sections."""

    export: ExportConfig


def main() -> None:
    """Read the command line, export, show how far the export is from the adapter."""
    speak_plainly()
    run_safely(_run)


def _run() -> None:
    words = used_words("export")
    if words is None:
        return
    used = read_export(words)
    trip, target, was_there = run_export(used)
    from loraflow.serve.export.terminal import show_export

    there = " (the same export was there already)" if was_there else ""
    show_export(
        trip,
        {"exported to": f"{os.path.relpath(target)}{there}", "card": f"{target.name}/README.md"},
    )


def read_export(words: Sequence[str]) -> Used[Sections]:
    """Return the export that `words`, overrides of conf/export.yaml, ask for.

    Raises:
        UserError: names each key with a fault, and the fix.
    """
    used = read_used("export", Sections, words)
    require_consistent(used.sections.export)
    return used


def run_export(used: Used[Sections]) -> "tuple[RoundTrip, Path, bool]":
    """Find the adapter and its base, and export.

    Returns what was measured, the folder, and whether the same export was in it before.

    Raises:
        UserError: if there is no such adapter, or it cannot be exported so.
    """
    from loraflow.model.source import find_base
    from loraflow.serve.adapters.find import AdapterFinder
    from loraflow.serve.export.run import export_files
    from loraflow.serve.export.subject import Subject, require_exportable

    export, tracking = used.sections.export, used.config.tracking
    with tempfile.TemporaryDirectory() as cache:
        finder = AdapterFinder(
            tracking, registered=export.registered, key="export.registered", cache=Path(cache)
        )
        adapter = finder.find(export.adapter)
        config = used.config_of(adapter)
        require_exportable(adapter, config, export.kind)
        base = find_base(config.model, config.quantization)
        subject = Subject(adapter, config, base)
        _require_same_base(subject)
        known = _known_of(used, subject)
        target = export.folder / (export.name or _name_of(adapter, export))
        log.info("export %s (%s) to %s", adapter.source, adapter.short, target)
        trip, was_there = export_files(subject, export, known, target=target)
    return trip, target, was_there


def _known_of(used: Used[Sections], subject: "Subject") -> "Known":
    """Ask MLflow what it has of the training; warn where nobody knows."""
    from loraflow.serve.export.card import Known

    adapter = subject.adapter
    if adapter.run_id is None:
        log.warning(
            "no run is known of %s; taken for granted: quantization=%s template=%s model=%s",
            adapter.source,
            subject.base.quantization.method,
            subject.config.template.name,
            subject.config.model.name,
        )
        return Known(None, "")
    from loraflow.tracking.described import describe_run

    run = describe_run(used.config.tracking, adapter.run_id)
    return Known(run, _decision_of(used, adapter))


def _require_same_base(subject: "Subject") -> None:
    trained_on, found = subject.adapter.base_revision, subject.base.revision
    if trained_on is not None and trained_on != found:
        raise UserError(
            f"export.adapter={subject.adapter.source} was trained on revision {trained_on[:12]} of "
            f"its base, and model.location={subject.config.model.location} is {found[:12]} now; "
            "set model= to where that one is"
        )


def _decision_of(used: Used[Sections], adapter: "Adapter") -> str:
    registered = used.sections.export.registered
    if adapter.version is None or registered is None:
        return ""
    from loraflow.promote.registry.registry import Registry
    from loraflow.promote.registry.version import describe

    registry = Registry(used.config.tracking, registered)
    return describe(registry.version(adapter.version))


def _name_of(adapter: "Adapter", export: ExportConfig) -> str:
    """Name a folder by what is in it, so that a new champion does not meet the old one's."""
    if adapter.version is not None:
        what = f"{export.registered}-v{adapter.version}"
    elif adapter.run_id is not None:
        what = f"run-{adapter.run_id[:8]}"
    else:
        what = Path(adapter.source).expanduser().resolve().name
    how: list[str] = [export.kind]
    if export.kind != "adapter":
        how += [str(export.precision), *(["full"] if export.into == "full" else [])]
    return re.sub(r"[^\w.-]+", "-", "-".join([what, *how])).lstrip(".-")


if __name__ == "__main__":
    main()
