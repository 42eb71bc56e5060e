"""Ends a training whose loss on rows apart no longer falls, with the best of what it was.

Not transformers' EarlyStoppingCallback: that one needs transformers' own checkpoints, and the best
of them at the end.
"""

import logging
import math
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from loraflow.config import TrainConfig
from loraflow.errors import UserError
from loraflow.train.adalora import allocator_state, load_allocator_state
from loraflow.train.job import Job

log = logging.getLogger(__name__)

BEST = "best.safetensors"  # in job.work; with its step and loss in the header


def set_apart(ids: Sequence[str], count: int) -> tuple[list[int], list[int]]:
    """Return the places of the rows to train on and of `count` rows apart.

    Which rows those are depends on their ids alone, neither on their order nor on a seed.

    Raises:
        UserError: if no row to train on would be left.
    """
    if count >= len(ids):
        raise UserError(
            f"train.early_stopping.rows={count} leaves none of {len(ids)} rows to train on; "
            "lower it, or set train.early_stopping=null"
        )
    by_digest = sorted(range(len(ids)), key=lambda place: _digest(ids[place]))
    return sorted(by_digest[count:]), sorted(by_digest[:count])


def split_rows(rows: Dataset, settings: TrainConfig) -> tuple[Dataset, Dataset | None]:
    """Return the rows to train on and those that tell when to stop, None without early stopping."""
    if settings.early_stopping is None:
        return rows, None
    kept, apart = set_apart(rows["id"], settings.early_stopping.rows)
    return rows.select(kept), rows.select(apart)


def evaluation_arguments(settings: TrainConfig) -> dict[str, Any]:
    """Return the arguments of the trainer that make it look at the rows apart."""
    if settings.early_stopping is None:
        return {}
    return {"eval_strategy": "steps", "eval_steps": settings.early_stopping.steps}


class EarlyStopping(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
    """Keeps the best weights on disk, stops when they are not beaten, and puts them back.

    A look is taken every `train.early_stopping.steps` steps and behind the last one. The file of
    the best weights may come from a look behind the checkpoint that a training resumes from: that
    look is taken again with the same result. Not so behind a divergence: weights of the attempt
    that was given up then stay, until a look is better than those before the checkpoint.
    """

    def __init__(self, job: Job, trainer: Any) -> None:
        """Watch the losses of `trainer` on its `eval_dataset`."""
        if job.settings.early_stopping is None:
            raise ValueError("train.early_stopping is not set")
        self._patience = job.settings.early_stopping.patience
        self._trainer = trainer
        self._best = job.work / BEST
        self._best_loss = math.inf
        self._worse_looks = 0  # since the best one

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs to stop where this one would."""
        best = self._best_loss if math.isfinite(self._best_loss) else None
        return {"best_loss": best, "worse_looks": self._worse_looks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._best_loss = math.inf if state["best_loss"] is None else state["best_loss"]
        self._worse_looks = state["worse_looks"]

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Look at the end too, where the weights may be best."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: Any,
    ) -> None:
        """Keep the weights if they are the best so far; stop if none were for long."""
        loss = float(metrics["eval_loss"])
        if loss < self._best_loss:
            self._best_loss, self._worse_looks = loss, 0
            if state.is_world_process_zero:
                _write(self._best, self._trainer.model, step=state.global_step, loss=loss)
            return
        self._worse_looks += 1
        if self._worse_looks >= self._patience:
            log.info(
                "stopping at step %d: %d looks without a lower loss than %.4f",
                state.global_step,
                self._worse_looks,
                self._best_loss,
            )
            control.should_training_stop = True
            control.should_save = False  # whoever resumes must come to this look again

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Put the best weights back."""
        if not (state.is_world_process_zero and self._best.is_file()):
            return  # only the first process writes an output
        model = self._trainer.model
        with safe_open(self._best, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            seen = file.metadata()
        with torch.no_grad():
            for name, weight in _weights(model).items():
                weight.copy_(tensors.pop(name))
        load_allocator_state(model, tensors)  # AdaLoRA's ranks of that step
        log.info("the weights of step %s are kept (loss %s)", seen["step"], seen["loss"])


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _write(path: Path, model: nn.Module, *, step: int, loss: float) -> None:
    """Write aside and rename: whatever kills the process, the file is the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    tensors = {**_weights(model), **allocator_state(model)}
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, partial, metadata={"step": str(step), "loss": f"{loss:.4f}"})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
