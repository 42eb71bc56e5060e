"""Writes the files of an export: PEFT's, a model's in some precision, or one GGUF."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from loraflow.config import ExportConfig, ModelConfig, QuantizationConfig
from loraflow.files import read_json, write_json
from loraflow.model.load import CausalLM, placed
from loraflow.model.merge import load_merged
from loraflow.model.plain_lora import save_as_plain_lora, writes_to_base
from loraflow.model.quantize import load_options
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import CONFIG, WEIGHTS
from loraflow.serve.export.gguf import convert, find_converter
from loraflow.serve.export.subject import Subject

GGUF = "model.gguf"


def write_files(subject: Subject, export: ExportConfig, *, out: Path, scratch: Path) -> None:
    """Write what `export` asks for to `out`, with what is asked for beside it; `scratch` may go.

    Raises:
        UserError: if the adapter cannot be merged, or a converter fails.
    """
    _WRITERS[export.kind](subject, export, out, scratch)


def public_name(model: ModelConfig) -> str:
    """Return what the base is called on any machine: no path of this one."""
    return model.location if model.source in ("hub", "pypi") else Path(model.location).name


def _write_adapter(subject: Subject, export: ExportConfig, out: Path, _: Path) -> None:
    """Write PEFT's two files; first values that were taken out of the base are put into them."""
    folder = adapter_of(subject.trained)
    if folder is None:
        raise ValueError(f"{subject.trained} holds no adapter")
    if writes_to_base(folder):
        save_as_plain_lora(subject.base, folder, out=out)
        (out / "README.md").unlink()  # PEFT's, which is empty
    else:
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(folder / name, out / name)
    model, settings = subject.config.model, read_json(out / CONFIG)
    settings["base_model_name_or_path"] = public_name(model)
    if model.source == "hub":
        settings["revision"] = subject.base.revision
    write_json(out / CONFIG, settings)
    subject.tokenizer().save_pretrained(out)


def _write_merged(subject: Subject, export: ExportConfig, out: Path, scratch: Path) -> None:
    model = _ready(load_merged(_base_of(subject, export), subject.trained), subject)
    _SAVERS[str(export.precision)](model, subject, out, scratch)
    subject.tokenizer().save_pretrained(out)


def _write_gguf(subject: Subject, export: ExportConfig, out: Path, scratch: Path) -> None:
    """Convert from float32, so that the converter rounds once."""
    model = _ready(load_merged(_base_of(subject, export), subject.trained), subject)
    _save_fp32(model, subject, scratch, scratch)
    subject.tokenizer().save_pretrained(scratch)
    del model
    converter = find_converter(export.converter)
    convert(converter, scratch, precision=str(export.precision), out=out / GGUF)


_WRITERS: dict[str, Callable[[Subject, ExportConfig, Path, Path], None]] = {
    "adapter": _write_adapter,
    "merged": _write_merged,
    "gguf": _write_gguf,
}


def _base_of(subject: Subject, export: ExportConfig) -> Any:
    return subject.full_base if export.into == "full" else subject.base


def _ready(model: CausalLM, subject: Subject) -> CausalLM:
    """Have the model answer as it was measured: greedily, and with the same ends."""
    config = subject.tokenizer()
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=subject.stop,
        pad_token_id=config.pad_token_id,
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
