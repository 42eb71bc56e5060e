"""Builds a trainer: the base as it is held here, what is trained beside it, and who watches."""

import logging
from collections.abc import Callable
from typing import Any

from transformers import PrinterCallback

from loraflow.config import AdapterConfig
from loraflow.estimate.decisions import Decisions, decide
from loraflow.files import read_json
from loraflow.model.adapter import attach_adapter
from loraflow.model.initialise import initialise_eva
from loraflow.model.load import CausalLM, load_base, load_classifier, unpack
from loraflow.model.quantize import compute_dtype
from loraflow.train import classify, preference, sft
from loraflow.train.adalora import RankAllocation
from loraflow.train.arguments import training_arguments
from loraflow.train.divergence import Watch
from loraflow.train.early_stopping import EarlyStopping
from loraflow.train.job import Job
from loraflow.train.pause import PauseAt
from loraflow.train.progressive import Progressive
from loraflow.train.rows import planned_steps, read_rows_to_train

log = logging.getLogger(__name__)

_ROWS_FOR_EVA = 256  # whose activations choose the first values

_BUILDERS: dict[str, Callable[..., Any]] = {
    "sft": sft.build_trainer,
    "text": sft.build_trainer,
    "preference": preference.build_trainer,
    "classify": classify.build_trainer,
}


def build_trainer(job: Job) -> Any:
    """Return the trainer of the task, ready to train or to resume.

    Raises:
        UserError: if the model's output layer is not known.
    """
    settings = job.settings
    decisions = decide(job.adapter, settings, job.base)
    model = attach_adapter(
        _load(job, decisions),
        job.adapter,
        task=settings.task,
        seed=settings.seed,
        start=None if job.start is None else job.start / "adapter",
        total_steps=planned_steps(job),
    )
    if job.adapter.init_lora_weights == "eva" and job.start is None:
        rows = read_rows_to_train(job.tokens)
        initialise_eva(model, rows[:_ROWS_FOR_EVA]["input_ids"])
    arguments = training_arguments(
        job, compute_dtype(job.base.quantization), checkpointing=decisions.activation_checkpointing
    )
    trainer = _BUILDERS[settings.task](model, job, arguments)
    trainer.remove_callback(PrinterCallback)  # the bar shows what it would print
    for callback in _callbacks(job, trainer):
        trainer.add_callback(callback)
    return trainer


def _load(job: Job, decisions: Decisions) -> CausalLM:
    held, unpacked = job.base.quantization.method, decisions.keep_dequantized
    if unpacked and held != "none":
        log.info("the %s base is unpacked once, since memory has room", held)
    if job.lender is None or job.settings.task == "classify":
        model = _load_own(job)
        return unpack(model) if unpacked else model
    hand_over = job.lender.give_away if _writes_to_base(job.adapter) else job.lender.share
    return hand_over(job.base, unpacked=unpacked)


def _load_own(job: Job) -> CausalLM:
    """Load a base that nobody else uses; one with a head is nothing to lend."""
    if job.lender is not None:
        job.lender.close()
    if job.settings.task != "classify":
        return load_base(job.base)
    labels = read_json(job.tokens / "labels.json")
    return load_classifier(job.base, labels, seed=job.settings.seed)


def _writes_to_base(adapter: AdapterConfig) -> bool:
    """Tell whether a training changes weights of the base, at its start or at each step."""
    return adapter.method == "full" or adapter.init_lora_weights in ("pissa", "olora")


def _callbacks(job: Job, trainer: Any) -> list[Any]:
    callbacks: list[Any] = [Watch(job, trainer)]
    if job.adapter.method == "adalora":
        callbacks.append(RankAllocation())
    if job.settings.early_stopping is not None:
        callbacks.append(EarlyStopping(job, trainer))
    if job.settings.progressive is not None:
        callbacks.append(Progressive(trainer.model, job.settings.progressive))
    if job.pause_at is not None:
        callbacks.append(PauseAt(job.pause_at))
    return callbacks
