"""Exports: writes the files, loads them again, measures, and says it all in the card."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import torch

from loraflow.config import ExportCheckConfig, ExportConfig
from loraflow.errors import UserError
from loraflow.files import hash_content, write_json
from loraflow.model.quantize import compute_dtype
from loraflow.model.targets import tensor_shapes
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import WEIGHTS
from loraflow.serve.export.answers import Gap
from loraflow.serve.export.card import Known, RoundTrip, card_markdown
from loraflow.serve.export.prompts import choose_prompts
from loraflow.serve.export.round_trip import measure_round_trip
from loraflow.serve.export.subject import Subject
from loraflow.serve.export.target import RECORD, made_before, new_folder, require_room
from loraflow.serve.export.write import Place, write_files
from loraflow.store import Key, Store, make_key

_VERSION = 2  # raise it when a change of code changes what is exported
_BYTES = {"fp32": 4, "bf16": 2, "int8": 1, "nf4": 1}  # of a weight, at most
_SCRATCH = {"fp32": 0, "bf16": 0, "int8": 2, "nf4": 2}  # of a weight, while it is written
_SMALL = 64 * 2**20  # of tokenizer and card


def export_files(
    subject: Subject, export: ExportConfig, known: Known, *, target: Path
) -> tuple[RoundTrip, bool]:
    """Make the folder `target`; return what was measured, and whether it had been there before.

    Raises:
        UserError: if something else is there, the disk is full, or it cannot be exported so.
    """
    key = _key_of(subject, export)
    if (record := made_before(target, key)) is not None:
        return _read(record), True
    require_room(target, _bytes_of(subject, export))
    with new_folder(target, key) as folder:
        scratch = folder.with_name("scratch")
        scratch.mkdir()
        with _memory_is_named(export.kind):
            write_files(subject, export, Place(folder, scratch, target.name))
            trip = _measure(subject, export, known, folder)
        card = card_markdown(subject, export, known, trip, name=target.name)
        (folder / "README.md").write_text(card, encoding="utf-8")
        write_json(folder / RECORD, _record(subject, export, key, trip))
    return trip, False


@contextmanager
def _memory_is_named(kind: str) -> Iterator[None]:
    """Say how to do without the GPU; the adapter alone is merged with nothing."""
    unchecked = ", or set export.check=null" if kind == "adapter" else ""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"export={kind}: the GPU has too little memory, since merging and checking hold the "
            "model in float32, 4 bytes a weight; put CUDA_VISIBLE_DEVICES= before the command, "
            f"which uses the memory of the CPU{unchecked}"
        ) from error


def _measure(subject: Subject, export: ExportConfig, known: Known, folder: Path) -> RoundTrip:
    check = export.check
    if check is None:
        return RoundTrip([], "")
    prompts, words = choose_prompts(check, known.run, Store(subject.config.store))
    gaps = measure_round_trip(
        subject, export, folder, prompts=prompts, max_new_tokens=check.max_new_tokens
    )
    return RoundTrip(gaps, words)


def _key_of(subject: Subject, export: ExportConfig) -> Key:
    """Name what is exported by all that the folder's content follows from."""
    quantization = subject.base.quantization
    return make_key(
        "export",
        _VERSION,
        trained=subject.adapter.digest,
        registered=subject.adapter.version,
        run=subject.adapter.run_id,
        base=subject.base.revision,
        quantization=asdict(quantization),
        computed_in=str(compute_dtype(quantization)),  # "auto" is another type on another machine
        template=subject.config.template.chat_template,
        kind=export.kind,
        into=export.into,
        precision=export.precision,
        check=None if export.check is None else _named(export.check),
        licence=asdict(export.licence),
    )


def _named(check: ExportCheckConfig) -> Mapping[str, Any]:
    """Name prompts by what is in their file, which may be edited."""
    prompts = None if check.prompts is None else hash_content(check.prompts)
    return {**asdict(check), "prompts": prompts}


def _record(subject: Subject, export: ExportConfig, key: Key, trip: RoundTrip) -> Mapping[str, Any]:
    return {
        "key": key.digest,
        "kind": export.kind,
        "into": export.into,
        "precision": export.precision,
        "trained": subject.adapter.digest,
        "run": subject.adapter.run_id,
        "version": subject.adapter.version,
        "base_revision": subject.base.revision,
        "prompts": trip.prompts,
        "differences": [asdict(gap) for gap in trip.gaps],
    }


def _read(record: Mapping[str, Any]) -> RoundTrip:
    return RoundTrip([Gap(**row) for row in record["differences"]], record["prompts"])


def _bytes_of(subject: Subject, export: ExportConfig) -> int:
    """Return about how much is on disk while the export is made."""
    folder = adapter_of(subject.trained)
    if export.kind == "adapter" and folder is not None:
        return 2 * (folder / WEIGHTS).stat().st_size + _SMALL
    weights = sum(map(prod, tensor_shapes(subject.base.folder).values()))
    precision = str(export.precision)
    scratch = 4 if export.kind == "gguf" else _SCRATCH[precision]
    return weights * (_BYTES[precision] + scratch) + _SMALL
