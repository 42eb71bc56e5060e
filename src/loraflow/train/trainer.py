"""What all our trainers share: order of rows, our own checkpoints, an account of each step."""

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers.trainer_callback import TrainerCallback, TrainerState

from loraflow.train.adalora import allocator_state, load_allocator_state, orthogonality_loss
from loraflow.train.checkpoint import Checkpoint, save_checkpoint
from loraflow.train.divergence import halve_learning_rate
from loraflow.train.job import Job
from loraflow.train.optimizer import create_optimizer, flatten_state, restore_state
from loraflow.train.order import RowOrder
from loraflow.train.random_numbers import random_state, random_tensors, restore_random
from loraflow.train.rows import row_lengths

_TRAINER_STATE = "trainer_state.json"  # the name that transformers looks for


class StageTrainer:
    """Mixed into a trainer of transformers or TRL, before it.

    A checkpoint holds all that the next step depends on: trained tensors, optimizer, scheduler,
    random numbers of each process, the trainer's and the callbacks' state. A resumed training
    therefore ends with the same adapter to the bit on a CPU. Nothing is pickled.
    """

    job: Job
    tokens_read = 0  # without padding
    halvings = 0  # of the learning rate, after divergence
    step_rows: tuple[tuple[str, int], ...] = ()  # id and tokens of the rows of the present step

    # what the trainer beside us brings
    model: nn.Module
    args: Any
    state: TrainerState
    optimizer: Any
    lr_scheduler: Any
    callback_handler: Any
    accelerator: Any
    train_dataset: Any
    current_gradient_accumulation_steps: int

    def note_rows(self, ids: list[str], lengths: list[int]) -> None:
        """Account for the rows of a micro-batch, once, when it is computed."""
        self.step_rows = (*self.step_rows, *zip(ids, lengths, strict=True))
        self.tokens_read += sum(lengths)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Forget the rows of the step before when a new one begins."""
        if self.state.global_step != self._step_of_rows:
            self.step_rows, self._step_of_rows = (), self.state.global_step
        loss: Tensor = super().training_step(*args, **kwargs)  # type: ignore[misc]
        if self.job.adapter.method == "adalora":  # once a step: a micro-batch bears its share
            share = orthogonality_loss(self.model) / self.current_gradient_accumulation_steps
            self.accelerator.backward(share)  # float16 scales it as the loss
        return loss

    _step_of_rows = -1

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        """Build the optimizer that the config names."""
        if self.optimizer is None:
            self.optimizer = create_optimizer(model or self.model, self.job.settings)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        """Order rows by seed and epoch alone, so that a resumed epoch goes on in its order."""
        settings = self.job.settings
        rows = self.train_dataset if train_dataset is None else train_dataset
        batch = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
        return RowOrder(
            row_lengths(rows),
            seed=settings.seed,
            group=None if self.packs else batch * settings.processes,
            epoch=self._first_epoch,
        )

    packs = False  # rows end to end; padded rows are better grouped by length
    _first_epoch = 0  # that this process trains in

    # -- checkpoints, in place of the trainer's own --

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        parts = gather_object([self._part()])  # what each process knows alone
        if not self.args.should_save:
            return
        save_checkpoint(
            self.job.work / "checkpoints",
            self.state.global_step,
            tensors=self._tensors(parts),
            state=self._state(parts),
            keep=self.job.settings.checkpoint.keep,
        )

    def _part(self) -> dict[str, Any]:
        return {
            "tokens_read": self.tokens_read,
            "random": random_state(),
            "random_tensors": random_tensors(),
        }

    def _tensors(self, parts: list[dict[str, Any]]) -> dict[str, Tensor]:
        optimizer, _ = flatten_state(_plain(self.optimizer))
        groups = {
            "model": _trained(self.model),
            "optimizer": optimizer,
            "allocator": allocator_state(self.model),
            **{f"random/{rank}": part["random_tensors"] for rank, part in enumerate(parts)},
        }
        return {
            f"{group}/{name}": tensor
            for group, found in groups.items()
            for name, tensor in found.items()
        }

    def _state(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        _, optimizer = flatten_state(_plain(self.optimizer))
        scaler = self.accelerator.scaler
        return {
            "trainer": vars(self.state) | {"stateful_callbacks": {}},
            "optimizer": optimizer,
            "scheduler": self.lr_scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "random": [part["random"] for part in parts],
            "tokens_read": [part["tokens_read"] for part in parts],
            "halvings": self.halvings,
            "callbacks": {
                type(callback).__name__: callback.state_dict() for callback in self._stateful()
            },
        }

    def resume(self, checkpoint: Checkpoint) -> None:
        """Train on from `checkpoint` to the end."""
        tensors, state = checkpoint.tensors(), checkpoint.state()
        self._resumed = (tensors, state)
        rank = self.args.process_index
        self.tokens_read = state["tokens_read"][rank]
        self._first_epoch = int(state["trainer"]["epoch"])
        for callback in self._stateful():
            callback.load_state_dict(state["callbacks"][type(callback).__name__])
        _write_trainer_state(checkpoint.folder, state["trainer"], rank)
        self.train(resume_from_checkpoint=str(checkpoint.folder))  # type: ignore[attr-defined]

    def _stateful(self) -> list[Any]:
        callbacks: list[TrainerCallback] = self.callback_handler.callbacks
        return [callback for callback in callbacks if hasattr(callback, "state_dict")]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        tensors, _ = self._resumed
        with torch.no_grad():
            for name, parameter in _trained(self.model).items():
                parameter.copy_(tensors[f"model/{name}"])
        load_allocator_state(self.model, _group(tensors, "allocator"))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        tensors, state = self._resumed
        restore_state(_plain(self.optimizer), _group(tensors, "optimizer"), state["optimizer"])
        self.lr_scheduler.load_state_dict(state["scheduler"])
        for _ in range(self.halvings - state["halvings"]):
            halve_learning_rate(self)

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(self._resumed[1]["scaler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            rank, (tensors, state) = self.args.process_index, self._resumed
            restore_random(_group(tensors, f"random/{rank}"), state["random"][rank])


def trained_values(model: nn.Module) -> dict[str, Tensor]:
    """Return what is trained, as it is before a trainer is built."""
    return {name: value.detach().clone().float() for name, value in _trained(model).items()}


def restore_values(model: nn.Module, values: dict[str, Tensor]) -> None:
    """Undo what TRL does to an adapter beside a 4-bit base: it rounds it to bfloat16."""
    for name, value in values.items():
        model.get_parameter(name).data = value


def _write_trainer_state(folder: Path, state: dict[str, Any], rank: int) -> None:
    """Put it where transformers reads it; all processes do so at once, so each renames its own."""
    own = folder / f"{_TRAINER_STATE}.{rank}"
    TrainerState(**state).save_to_json(str(own))
    own.replace(folder / _TRAINER_STATE)


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimizer inside accelerate's wrapper."""
    plain: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return plain


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def _group(tensors: dict[str, Tensor], group: str) -> dict[str, Tensor]:
    head = f"{group}/"
    return {
        name.removeprefix(head): tensor for name, tensor in tensors.items() if name.startswith(head)
    }
