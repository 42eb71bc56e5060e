"""Writes the model card: what was trained, on what, how good it is, and what is not known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from omegaconf import OmegaConf

from loraflow.config import DataConfig, ExportConfig
from loraflow.data.read.hub import HUB
from loraflow.serve.export.answers import Gap
from loraflow.serve.export.bases import argument, hub_id, origin, public_name
from loraflow.serve.export.licences import explain, licence_of_base, licence_of_data
from loraflow.serve.export.limits import limits
from loraflow.serve.export.subject import Subject
from loraflow.serve.export.usage import usage_markdown
from loraflow.tracking.described import Described

_LANGUAGES = {"en": "English", "zh": "Chinese", "ja": "Japanese"}
_LIBRARIES = {"adapter": "peft", "merged": "transformers", "gguf": "llama.cpp"}


@dataclass(frozen=True)
class Known:
    """What is known of the training beside its config."""

    run: Described | None  # None: no run is known, the adapter came from a folder
    decision: str  # of the gate, Markdown; empty: it is no registered version


@dataclass(frozen=True)
class RoundTrip:
    """What came of loading the export again."""

    gaps: Sequence[Gap]  # none: nothing was measured
    prompts: str  # where they come from, in words


def card_markdown(
    subject: Subject, export: ExportConfig, known: Known, trip: RoundTrip, *, name: str
) -> str:
    """Return README.md as the hub reads it; `name` is the folder's."""
    environment = Environment(
        loader=PackageLoader("loraflow.serve", "export"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    model, config = subject.config.model, subject.config
    base_licence = licence_of_base(model, export.licence)
    data_licence = licence_of_data(config.data, export.licence)
    language = _language(known.run)
    return environment.get_template("card.md.j2").render(
        front=OmegaConf.to_yaml(OmegaConf.create(_front(subject, export, base_licence, language))),
        name=name,
        base=public_name(model),
        base_argument=argument(model),
        base_origin=origin(model),
        subject=subject,
        export=export,
        run=known.run,
        decision=known.decision,
        gaps=trip.gaps,
        prompts=trip.prompts,
        usage=usage_markdown(subject, export, name),
        chat_template=subject.tokenizer().chat_template,
        data=list(_data(subject, known.run)),
        training=list(_training(subject)) if subject.adapter.settings is not None else [],
        limits=list(limits(subject, known.run, _language_name(language), trip.gaps)),
        licences=list(explain(model, base_licence, data_licence)),
    )


def _front(subject: Subject, export: ExportConfig, licence: str, language: str) -> dict[str, Any]:
    """Return what the hub reads of a card."""
    config = subject.config
    settings = subject.peft_settings
    kind = settings.get("peft_type", "full").lower()
    known = subject.adapter.settings is not None
    return {
        **_base_of_hub(subject, export),
        "license": licence,
        **({"language": [language]} if language in _LANGUAGES else {}),
        "datasets": _datasets(config.data) if known else [],
        "tags": ["loraflow", kind, *(["qlora"] if subject.is_quantized else [])],
        "library_name": _LIBRARIES[export.kind],
        "pipeline_tag": "text-generation",
    }


def _base_of_hub(subject: Subject, export: ExportConfig) -> dict[str, str]:
    """Return what links the card to that of its base; the hub takes nothing but ids of its own."""
    base = hub_id(subject.config.model)
    if base is None:
        return {}
    if subject.adapter.is_whole_model:
        return {"base_model": base}
    relation = "adapter" if export.kind == "adapter" else "finetune"
    return {"base_model": base, "base_model_relation": relation}


def _datasets(data: DataConfig) -> list[str]:
    """Return the ids of the hub's datasets that were learned."""
    return [
        path.removeprefix(HUB).partition(":")[0].partition("@")[0]
        for path in data.path or []
        if path.startswith(HUB)
    ]


def _language(run: Described | None) -> str:
    """Return what was found in the held-out answers; empty: nobody looked."""
    return "" if run is None else str(run.evaluated.get("language", ""))


def _language_name(language: str) -> str:
    if not language:
        return ""
    return _LANGUAGES.get(language, "neither English, Chinese nor Japanese by its letters")


def _data(subject: Subject, run: Described | None) -> Iterator[tuple[str, str]]:
    if run is None:
        return
    prepared, data = run.prepared, subject.config.data
    yield "source", ", ".join(_source_names(data, prepared)) or data.layout
    yield "layout", data.layout
    counts = prepared.get("counts", {})
    for part, label in {"train": "rows learned", "held_out": "rows held out"}.items():
        if part in counts:
            yield label, f"{counts[part]:,}"
    if "read" in counts:
        yield "rows read", f"{counts['read']:,}, of which {counts['rejected']:,} were set aside"
    if run.data_fingerprint:
        yield "fingerprint (SHA-256)", f"`{run.data_fingerprint}`"
    if language := _language_name(_language(run)):
        yield "language found", language


def _source_names(data: DataConfig, prepared: Mapping[str, Any]) -> list[str]:
    """Name files of the hub as it does, and others without their folders."""
    of_hub = tuple(f"{dataset}/" for dataset in _datasets(data))
    names = [str(source["name"]) for source in prepared.get("sources", [])]
    return [name if name.startswith(of_hub) else Path(name).name for name in names]


def _training(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Yield the keys of the config that say most, as they are typed on the command line."""
    config = subject.config
    adapter, train, quantization = config.adapter, config.train, config.quantization
    yield "adapter.method", adapter.method
    if adapter.method in ("lora", "adalora"):
        yield "adapter.r", adapter.r
        yield "adapter.alpha", adapter.alpha
        yield "adapter.alpha_mode", adapter.alpha_mode
        yield "adapter.target_modules", adapter.target_modules
        yield "adapter.init_lora_weights", adapter.init_lora_weights
        yield "adapter.use_dora", adapter.use_dora
    yield "quantization.method", quantization.method
    for name in ("task", "learning_rate", "max_steps", "num_train_epochs", "max_length", "seed"):
        yield f"train.{name}", getattr(train, name)
    if config.before:
        yield "before", ", ".join(config.before)
