"""Stage: from tokens and the frozen base to a trained adapter."""

import logging
import shutil
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object  # type: ignore[import-untyped]
from transformers import set_seed

from loraflow.files import HISTORY
from loraflow.model.adapter import count_parameters, effective_scale
from loraflow.train.attempts import run_attempts
from loraflow.train.job import Job
from loraflow.train.launch import train_together
from loraflow.train.machine import prepare_machine

log = logging.getLogger(__name__)


def train(job: Job, *, out: Path) -> dict[str, Any]:
    """Write what was trained (safetensors) and history.jsonl to `out`; return counts and metrics.

    Goes on from the newest whole checkpoint in `job.work`, which outlives an interruption. The same
    seed, data and machine give the same adapter to the bit on a CPU, interrupted or not.

    Raises:
        UserError: if the training diverges, or the model's output layer is not known.
    """
    if job.adapter.method == "none":
        (out / HISTORY).touch()
        return {"counts": {"trainable_parameters": 0, "steps": 0}, "metrics": {}}
    if job.settings.processes == 1:
        return train_here(job, out)
    if job.lender is not None:
        job.lender.close()  # each process loads its own base
    return train_together(job, out)


def train_here(job: Job, out: Path) -> dict[str, Any]:
    """Train in this process, one of several or the only one."""
    prepare_machine(job.settings.speed, job.settings.processes)
    set_seed(job.settings.seed)
    trainer = run_attempts(job)
    if trainer.is_world_process_zero():
        _save(trainer, job, out)
    return {
        "counts": {
            **count_parameters(trainer.model),
            "steps": trainer.state.global_step,
            "tokens": sum(gather_object([trainer.tokens_read])),
        },
        "metrics": {
            "train/final_loss": trainer.last_loss,
            "train/scale": effective_scale(job.adapter),
            "train/mean_tokens_per_second": sum(gather_object([trainer.tokens_per_second])),
        },
    }


def _save(trainer: Any, job: Job, out: Path) -> None:
    shutil.copy(job.work / HISTORY, out / HISTORY)
    model = trainer.model
    if job.adapter.method in ("full", "head_only"):
        model.save_pretrained(out / "model")
        return
    config = model.peft_config["default"]
    config.base_model_name_or_path = job.base.name
    for name, value in vars(config).items():
        if isinstance(value, set):  # has another order in each process; the file has none
            setattr(config, name, sorted(value))
    model.save_pretrained(  # no look at the hub for whether the vocabulary grew
        out / "adapter", safe_serialization=True, save_embedding_layers=False
    )
