"""Something trained on the tiny model, in any way, and what it is exported as."""

from dataclasses import replace
from pathlib import Path

from flows.export import read_export
from loraflow.config import ExportConfig
from loraflow.serve.adapters.adapter import Adapter, digest_of, loaded_files
from loraflow.serve.export.card import Known, RoundTrip
from loraflow.serve.export.run import export_files
from loraflow.serve.export.subject import Subject
from tests.conftest import composed
from tests.model.ways import adapter, attach, held, train

UNKNOWN = Known(None, "")


def trained_subject(
    tiny: Path,
    out: Path,
    *words: str,
    method: str = "none",
    dtype: str = "float32",
    rate: float = 0.03,
) -> Subject:
    """Train a few steps in the way that `words` say, and leave it as the stage does."""
    base = held(tiny, method, dtype)
    chosen = adapter(*words)
    model = attach(base, chosen)
    train(model, rate=rate)
    if chosen.method == "full":
        model.save_pretrained(out / "model")
    else:
        model.save_pretrained(out / "adapter", save_embedding_layers=False)
    settings = ["model=folder", f"model.location={tiny}", f"quantization={method}", *words]
    config = composed(*settings, "model.name=tiny")
    digest = digest_of(loaded_files("run:x", out))
    return Subject(Adapter("run:x", out, digest, {}), config, base)


def wish(folder: Path, *words: str) -> ExportConfig:
    """What a command line asks for; its exports lie in `folder`."""
    words = ("export.adapter=run:x", "export.check.rows=4", "export.check.max_new_tokens=8", *words)
    return replace(read_export(words).sections.export, folder=folder)


def exported(
    subject: Subject, export: ExportConfig, known: Known = UNKNOWN
) -> tuple[Path, RoundTrip]:
    target = export.folder / "it"
    trip, was_there = export_files(subject, export, known, target=target)
    assert not was_there
    return target, trip
