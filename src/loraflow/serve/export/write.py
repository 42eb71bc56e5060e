"""Writes the files of an export: PEFT's, a model's in some precision, or one GGUF."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from loraflow.config import ExportConfig, QuantizationConfig
from loraflow.files import read_json, write_json
from loraflow.model.load import CausalLM, placed
from loraflow.model.merge import load_merged
from loraflow.model.plain_lora import save_as_plain_lora, writes_to_base
from loraflow.model.quantize import load_options
from loraflow.model.source import BaseModel
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import CONFIG, WEIGHTS
from loraflow.serve.export.gguf import convert, find_converter
from loraflow.serve.export.subject import Subject

GGUF = "model.gguf"


@dataclass(frozen=True)
class Place:
    """Where an export is written."""

    out: Path  # a folder for its files
    scratch: Path  # and one that may go when they are written
    name: str  # what others will know the export by


def write_files(subject: Subject, export: ExportConfig, place: Place) -> None:
    """Write what `export` asks for, with the tokenizer that it is asked by.

    Raises:
        UserError: if the adapter cannot be merged, or a converter fails.
    """
    _WRITERS[export.kind](subject, export, place)


def _write_adapter(subject: Subject, _: ExportConfig, place: Place) -> None:
    """Write PEFT's two files; first values that were taken out of the base are put into them."""
    folder, out = adapter_of(subject.trained), place.out
    if folder is None:
        raise ValueError(f"{subject.trained} holds no adapter")
    if writes_to_base(folder):
        save_as_plain_lora(subject.base, folder, out=out)
        (out / "README.md").unlink()  # PEFT's, which is empty
    else:
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(folder / name, out / name)
    write_json(out / CONFIG, {**read_json(out / CONFIG), **_base_named(subject)})
    subject.tokenizer().save_pretrained(out)


def _base_named(subject: Subject) -> dict[str, str | None]:
    """Name the base only where others find these very weights.

    By the name of a folder, PEFT and transformers would look for a model of the hub, and may find
    another.
    """
    model = subject.config.model
    if model.source != "hub":
        return {"base_model_name_or_path": None, "revision": None}
    return {"base_model_name_or_path": model.location, "revision": subject.base.revision}


def _write_merged(subject: Subject, export: ExportConfig, place: Place) -> None:
    model = _ready(load_merged(_base_of(subject, export), subject.trained), subject)
    _SAVERS[str(export.precision)](model, subject, place.out, place.scratch)
    subject.tokenizer().save_pretrained(place.out)


def _write_gguf(subject: Subject, export: ExportConfig, place: Place) -> None:
    """Convert from float32, so that the converter rounds once."""
    model = _ready(load_merged(_base_of(subject, export), subject.trained), subject)
    _save_fp32(model, subject, place.scratch, place.scratch)
    subject.tokenizer().save_pretrained(place.scratch)
    del model
    convert(
        find_converter(export.converter),
        place.scratch,
        precision=str(export.precision),
        name=place.name,
        out=place.out / GGUF,
    )


_WRITERS: dict[str, Callable[[Subject, ExportConfig, Place], None]] = {
    "adapter": _write_adapter,
    "merged": _write_merged,
    "gguf": _write_gguf,
}


def _base_of(subject: Subject, export: ExportConfig) -> BaseModel:
    return subject.full_base if export.into == "full" else subject.base


def _ready(model: CausalLM, subject: Subject) -> CausalLM:
    """Have the model answer as it was measured: greedily, and with the same ends."""
    tokenizer = subject.tokenizer()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=subject.stop,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    model.config.name_or_path = ""  # a path of this machine
    return model


def _save_fp32(model: CausalLM, _: Subject, out: Path, __: Path) -> None:
    model.save_pretrained(out, safe_serialization=True)


def _save_bf16(model: CausalLM, _: Subject, out: Path, __: Path) -> None:
    model.to(torch.bfloat16).save_pretrained(out, safe_serialization=True)


def _quantizing(method: Any) -> Callable[[CausalLM, Subject, Path, Path], None]:
    def save(model: CausalLM, subject: Subject, out: Path, scratch: Path) -> None:
        _save_bf16(model, subject, scratch, scratch)
        quantization = QuantizationConfig(method, method == "nf4", "bfloat16")
        options = {**placed(subject.base), **load_options(quantization)}
        quantized = AutoModelForCausalLM.from_pretrained(scratch, **options)
        quantized.config.name_or_path = ""
        quantized.save_pretrained(out, safe_serialization=True)

    return save


_SAVERS: dict[str, Callable[[CausalLM, Subject, Path, Path], None]] = {
    "fp32": _save_fp32,
    "bf16": _save_bf16,
    "int8": _quantizing("int8"),
    "nf4": _quantizing("nf4"),
}
