"""Loads what was exported as others would, and measures how far it is from the adapter."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from loraflow.config import ExportConfig
from loraflow.errors import UserError
from loraflow.model.load import CausalLM, load_base, make_ready_for_answers, placed, unpack
from loraflow.model.merge import load_adapted, load_merged
from loraflow.model.plain_lora import writes_to_base
from loraflow.model.source import BaseModel
from loraflow.model.trained import adapter_of
from loraflow.serve.export.answers import Asking, Gap, Reply, answer, measure_gap, reply
from loraflow.serve.export.prompts import Prompt
from loraflow.serve.export.subject import Subject
from loraflow.serve.export.write import GGUF

log = logging.getLogger(__name__)

_ROUNDING = 0.01  # of a logit: far above what float32 rounds, far below a wrong weight
_UNTUNED = "the base alone, without what was trained"  # a yardstick
_FULL = "the base in full precision"
_LOST = (
    "the export is nearer to the base alone than to the adapter, so most of what was trained is "
    "lost in it; set export.precision=bf16 and export.into=trained, or export=adapter"
)

Way = tuple[str, Callable[[], CausalLM]]  # what is measured, and how it is loaded


def measure_round_trip(
    subject: Subject,
    export: ExportConfig,
    folder: Path,
    *,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
) -> list[Gap]:
    """Return how far others, and last the export in `folder`, are from the adapter in float32.

    One model is in memory at a time.

    Raises:
        UserError: if a float32 export that should be the same is not.
    """
    asking = Asking(subject.stop, max_new_tokens)
    ids = [subject.template.prompt_ids(messages) for messages in prompts]
    adapted = answer(_adapted(subject), ids, asking)

    def ask(load: Callable[[], CausalLM]) -> list[Reply]:
        return reply(load().eval(), adapted, asking)

    untuned = None if subject.adapter.is_whole_model else ask(lambda: _untuned(subject.base))
    gaps = [] if untuned is None else [measure_gap(_UNTUNED, adapted, untuned)]
    gaps += [
        measure_gap(what, adapted, ask(load)) for what, load in _others(subject, export, folder)
    ]
    what, load = _exported(subject, export, folder)
    exported = measure_gap(what, adapted, ask(load), untuned=untuned)
    _require_exact(subject, export, exported)
    if exported.has_lost_the_training:
        log.warning(_LOST)
    return [*gaps, exported]


def _others(subject: Subject, export: ExportConfig, folder: Path) -> Iterator[Way]:
    """Yield what might have been exported instead: into, or for, the base as it was not held."""
    if not subject.is_quantized:
        return
    if export.kind == "adapter":
        yield f"beside {_FULL}", lambda: _beside(subject.full_base, folder)
        return
    trained_on = _base_of_training(subject)
    yield f"merged into {trained_on}, fp32", lambda: _merged(subject, subject.base)
    yield f"merged into {_FULL}, fp32", lambda: _merged(subject, subject.full_base)


def _exported(subject: Subject, export: ExportConfig, folder: Path) -> Way:
    if export.kind == "adapter":
        beside = _base_of_training(subject)
        return f"as exported: beside {beside}", lambda: _beside(subject.base, folder)
    into = "" if subject.adapter.is_whole_model else f", {export.into} base"
    what = f"as exported: {export.kind}, {export.precision}{into}"
    return what, lambda: _load_plainly(subject, export, folder)


def _base_of_training(subject: Subject) -> str:
    held = f" ({subject.base.quantization.method}, de-quantized)" if subject.is_quantized else ""
    return f"the base as trained on{held}"


def _require_exact(subject: Subject, export: ExportConfig, exported: Gap) -> None:
    if not _is_exact(subject, export) or exported.largest <= _ROUNDING:
        return
    raise UserError(
        f"export={export.kind} of export.adapter={subject.adapter.source} is off by up to "
        f"{exported.largest:.3g} of a logit, where only the last digits of float32 may differ: "
        f"PEFT, transformers or llama.cpp does not write or load this architecture "
        f"({subject.config.model.name}) as it should; {_instead(subject, export)}"
    )


def _is_exact(subject: Subject, export: ExportConfig) -> bool:
    """Tell whether nothing but the last digits of float32 may differ."""
    if export.kind == "adapter":  # PiSSA's base was rounded when its first values were taken out
        return not writes_to_base(adapter_of(subject.trained))
    same_base = export.into == "trained" or subject.adapter.is_whole_model
    return same_base and export.precision == "fp32"


def _instead(subject: Subject, export: ExportConfig) -> str:
    if subject.adapter.is_whole_model:
        return "use the model as its run logged it"
    return "try export=merged" if export.kind == "adapter" else "set export=adapter"


def _adapted(subject: Subject) -> CausalLM:
    return make_ready_for_answers(load_adapted(subject.base, subject.trained))


def _untuned(base: BaseModel) -> CausalLM:
    return make_ready_for_answers(unpack(load_base(base)).float())


def _beside(base: BaseModel, folder: Path) -> CausalLM:
    model = make_ready_for_answers(unpack(load_base(base)))
    return PeftModel.from_pretrained(model, folder).float()


def _merged(subject: Subject, base: BaseModel) -> CausalLM:
    return make_ready_for_answers(load_merged(base, subject.trained))


def _load_plainly(subject: Subject, export: ExportConfig, folder: Path) -> CausalLM:
    """Load as transformers does by itself: in the type and the bits that the files have."""
    if export.kind == "gguf":
        return AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=GGUF, dtype=torch.float32, **placed(subject.base)
        )
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto", **placed(subject.base))
