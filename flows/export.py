"""A trained adapter for others to load: alone, merged, in fewer bits, as GGUF, with a model card.

python -m flows.export export.adapter=run:RUN_ID
python -m flows.export export=merged                 # the champion, in the weights of its base
"""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass as checked

from flows.command import compose_settings, read_command, readable, run_safely
from flows.composing import Words
from loraflow.check import load_config, load_sections
from loraflow.config import Config, ExportConfig
from loraflow.config.values import STRICT
from loraflow.errors import UserError
from loraflow.serve.export.wish import require_consistent

if TYPE_CHECKING:
    from loraflow.serve.adapters.adapter import Adapter
    from loraflow.serve.export.card import Known, RoundTrip
    from loraflow.serve.export.subject import Subject

log = logging.getLogger(__name__)


@checked(frozen=True, config=STRICT)
class _Sections:
    export: ExportConfig


@dataclass(frozen=True)
class ExportRequest:
    """An export, checked."""

    config: Config  # as composed; the adapter's own run says more
    export: ExportConfig
    words: Sequence[str]  # of the command line that an experiment knows too


def main() -> None:
    """Read the command line, export, show how far the export is from the adapter."""
    run_safely(_run)


def _run() -> None:
    words = [readable(word) for word in sys.argv[1:]]
    if any(word.startswith("-") for word in words) and not read_command("export"):
        return
    request = read_export([word for word in words if not word.startswith("-")])
    trip, target, was_there = run_export(request)
    from loraflow.serve.export.terminal import show_export

    there = " (the same export was there already)" if was_there else ""
    show_export(
        trip,
        {"exported to": f"{os.path.relpath(target)}{there}", "card": f"{target.name}/README.md"},
    )


def read_export(words: Sequence[str]) -> ExportRequest:
    """Return the export that `words`, overrides of conf/export.yaml, ask for.

    Raises:
        UserError: names each key with a fault, and the fix.
    """
    composed = compose_settings("export", words)
    export = load_sections(_Sections, {"export": composed.pop("export")}).export
    config = load_config(composed)
    require_consistent(export)
    own = Words(words, own=("export",))
    return ExportRequest(config, export, list(own.of_experiment.values()))


def run_export(request: ExportRequest) -> "tuple[RoundTrip, Path, bool]":
    """Find the adapter and its base, and export; return what was measured, where, and if it was so.

    Raises:
        UserError: if there is no such adapter, or it cannot be exported so.
    """
    from loraflow.model.source import find_base
    from loraflow.serve.adapters.find import AdapterFinder
    from loraflow.serve.adapters.settings import config_of
    from loraflow.serve.export.run import export_files
    from loraflow.serve.export.subject import Subject, require_exportable

    export, tracking = request.export, request.config.tracking
    with tempfile.TemporaryDirectory() as cache:
        finder = AdapterFinder(tracking, registered=export.registered, cache=Path(cache))
        adapter = finder.find(export.adapter)
        config = config_of(adapter, request.config, request.words)
        require_exportable(adapter, config, export.kind)
        base = find_base(config.model, config.quantization)
        subject = Subject(adapter, config, base)
        _require_same_base(subject)
        known = _known_of(request, subject)
        target = export.folder / (export.name or _name_of(adapter, export))
        log.info("export %s (%s) to %s", adapter.source, adapter.short, target)
        trip, was_there = export_files(subject, export, known, target=target)
    return trip, target, was_there


def _known_of(request: ExportRequest, subject: "Subject") -> "Known":
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

    run = describe_run(request.config.tracking, adapter.run_id)
    return Known(run, _decision_of(request, adapter))


def _require_same_base(subject: "Subject") -> None:
    trained_on, found = subject.adapter.base_revision, subject.base.revision
    if trained_on is not None and trained_on != found:
        raise UserError(
            f"export.adapter={subject.adapter.source} was trained on revision {trained_on[:12]} of "
            f"its base, and model.location={subject.config.model.location} is {found[:12]} now; "
            "set model= to where that one is"
        )


def _decision_of(request: ExportRequest, adapter: "Adapter") -> str:
    if adapter.version is None or request.export.registered is None:
        return ""
    from loraflow.promote.registry.registry import Registry
    from loraflow.promote.registry.version import describe

    registry = Registry(request.config.tracking, request.export.registered)
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
