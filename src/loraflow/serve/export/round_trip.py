"""Loads what was exported as others would, and measures how far it is from the adapter."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM

from loraflow.config import ExportCheckConfig, ExportConfig
from loraflow.data.records import Message
from loraflow.errors import UserError
from loraflow.evaluate.mt_bench.questions import SHIPPED, load_questions
from loraflow.evaluate.prompts import read_prompts
from loraflow.model.load import CausalLM, load_base, make_ready_for_answers, placed, unpack
from loraflow.model.merge import load_adapted, load_merged
from loraflow.model.plain_lora import writes_to_base
from loraflow.model.source import BaseModel
from loraflow.model.trained import adapter_of
from loraflow.serve.export.answers import (
    Gap,
    answer,
    logits_along,
    mean_distance,
    measure_gap,
)
from loraflow.serve.export.subject import Subject
from loraflow.serve.export.write import GGUF

log = logging.getLogger(__name__)

_ROUNDING = 0.01  # of a logit: far above what float32 rounds, far below a wrong weight
_UNTUNED = "the base alone, without what was trained"  # a yardstick
_LOST = (
    "the export is nearer to the base alone than to the adapter, so most of what was trained is "
    "lost in it; set export.precision=bf16 and export.into=trained, or export=adapter"
)

Way = tuple[str, Callable[[], CausalLM]]


def choose_prompts(
    check: ExportCheckConfig, questions: Sequence[str]
) -> tuple[list[list[Message]], str]:
    """Return prompts, and in words where they come from.

    Raises:
        UserError: if the file of `check.prompts` holds none.
    """
    if check.prompts is not None:
        given = read_prompts(check.prompts, "export.check.prompts")[: check.rows]
        return given, f"the first {len(given)} prompts of {check.prompts.name}"
    asked = [question for question in questions if question.strip()][: check.rows]
    if asked:
        return [_user(text) for text in asked], f"{len(asked)} held-out questions of the run"
    sets = zip(*(load_questions(name, "") for name in SHIPPED), strict=False)
    texts = [question.turns[0] for pair in sets for question in pair][: check.rows]
    return [_user(text) for text in texts], f"{len(texts)} questions of loraflow's bench"


def measure_round_trip(
    subject: Subject, export: ExportConfig, prompts: Sequence[Sequence[Message]], folder: Path
) -> list[Gap]:
    """Return how far the export in `folder`, and its variants, are from the adapter in float32.

    Raises:
        UserError: if a float32 export that should be the same is not.
    """
    if export.check is None:
        return []
    how: dict[str, Any] = {"stop": subject.stop, "max_new_tokens": export.check.max_new_tokens}
    ids = [subject.template.prompt_ids(messages) for messages in prompts]
    model = make_ready_for_answers(load_adapted(subject.base, subject.trained))
    adapted = answer(model, ids, **how)
    gaps: list[Gap] = []
    untuned: list[Tensor] | None = None
    for what, load in _ways(subject, export, folder):
        del model  # one model in memory at a time
        model = load().eval()
        gaps.append(measure_gap(what, model, adapted, **how))
        if what == _UNTUNED:
            untuned = logits_along(model, adapted)
    if untuned is not None:
        distance = mean_distance(logits_along(model, adapted), untuned)
        gaps[-1] = replace(gaps[-1], from_untuned=distance)
    if _is_exact(subject, export) and gaps[-1].largest > _ROUNDING:
        raise UserError(
            f"export.adapter={subject.adapter.source} was exported in float32 and its logits are "
            f"off by up to {gaps[-1].largest:.3g}: PEFT or transformers does not merge or save "
            f"this architecture ({subject.config.model.name}) as it should; use export=adapter"
        )
    if gaps[-1].has_lost_the_training:
        log.warning(_LOST)
    return gaps


def _is_exact(subject: Subject, export: ExportConfig) -> bool:
    """Tell whether nothing but the last digits of float32 may differ."""
    if export.kind == "adapter":  # PiSSA's base was rounded when its first values were taken out
        return not writes_to_base(adapter_of(subject.trained))
    same_base = export.into == "trained" or subject.adapter.is_whole_model
    return same_base and export.precision == "fp32"


def _ways(subject: Subject, export: ExportConfig, folder: Path) -> Iterator[Way]:
    """Yield what is measured: a yardstick, the other bases, and last what was exported."""
    if not subject.adapter.is_whole_model:
        yield _UNTUNED, lambda: _untuned(subject.base)
    trained = f"the base as trained on ({subject.base.quantization.method}, de-quantized)"
    full = "the base in full precision"
    if export.kind == "adapter":
        if subject.is_quantized:
            yield f"beside {full}", lambda: _beside(subject.full_base, folder)
        name = f"beside {trained if subject.is_quantized else full}"
        yield f"as exported: {name}", lambda: _beside(subject.base, folder)
        return
    if subject.is_quantized:
        yield f"merged into {trained}, fp32", lambda: _merged(subject, subject.base)
        yield f"merged into {full}, fp32", lambda: _merged(subject, subject.full_base)
    into = f", {export.into} base" if subject.is_quantized or export.into == "full" else ""
    yield (
        f"as exported: {export.kind}, {export.precision}{into}",
        lambda: _load_plainly(subject, export, folder),
    )


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


def _user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]
