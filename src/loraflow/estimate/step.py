"""One micro-batch, forwards and backwards, by our own loss on tensors without contents."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from loraflow.estimate.shapes import Model, Training, trained_tensors
from loraflow.estimate.trace import Ledger, Parts, traced
from loraflow.model.quantize import compute_dtype
from loraflow.train.attend import attend_fused
from loraflow.train.attention import NAME, packed_attention
from loraflow.train.loss import answer_losses, uses_model_forward
from loraflow.train.packing import pack, pad

# phases of a micro-batch, in order; what is alive at a peak is booked under the phase that made it
ACTIVATIONS, OUTPUT, BACKWARD, END = "activations", "output layer", "backward", "end of backward"
GRADIENTS = "gradients"


def trace_step(model: Model, training: Training, layers: str) -> dict[str, Parts]:
    """Return what is alive at the worst moment of each phase, beside model and optimizer.

    All rows are as long as `train.max_length` allows, and all of their tokens are learned.
    `layers` names the list of layers; `model` is spent.
    """
    packs = _packs(model, training)
    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    if training.checkpointing:
        inside.activation_checkpointing_enable({"use_reentrant": False})
    if packs:
        # tensors that claim to lie on a CPU would be attended to as is fast there
        fused = partial(packed_attention, attend=attend_fused)
        AttentionInterface.register(NAME, fused if training.on_gpu else packed_attention)
        AttentionMaskInterface.register(NAME, lambda *_, **__: None)
        inside.set_attn_implementation(NAME)
    model.train()
    batch = _micro_batch(training, packs=packs)
    with traced(model) as ledger:
        _book_gradients(model, training, ledger)
        _follow(inside, layers, ledger)
        ledger.phase = ACTIVATIONS
        with _autocast(training):
            loss = _loss(model, training, batch)
        ledger.phase = BACKWARD
        loss.backward()  # type: ignore[no-untyped-call]
    return ledger.peaks


def _packs(model: Model, training: Training) -> bool:
    settings = training.settings
    if settings.task == "classify" or not settings.speed.packing or uses_model_forward(model):
        return False
    return settings.task != "preference" or settings.speed.learned_positions


def _book_gradients(model: Model, training: Training, ledger: Ledger) -> None:
    """Book whole gradients as such; with accumulation they are there from the start."""
    ledger.phase = GRADIENTS
    for _, parameter in trained_tensors(model):
        if training.settings.gradient_accumulation_steps > 1:
            parameter.grad = torch.empty_like(parameter)
        else:
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                lambda parameter: ledger.rebook(parameter.grad, GRADIENTS)
            )


def _follow(inside: Model, layers: str, ledger: Ledger) -> None:
    """Tell the ledger when the decoder is done, and when the way back reaches the first layer."""

    def decoded(*_: Any) -> None:
        ledger.phase = OUTPUT

    def watch(_: nn.Module, __: Any, output: Any) -> None:
        hidden = output if isinstance(output, Tensor) else output[0]
        if hidden.requires_grad:
            hidden.register_hook(came_back)

    def came_back(_: Tensor) -> None:
        ledger.phase = END

    inside.base_model.register_forward_hook(decoded)
    if layers:
        inside.get_submodule(f"{layers}.0").register_forward_hook(watch)


def _autocast(training: Training) -> AbstractContextManager[Any]:
    """Multiply as the trainer does: in the type of the base, though what is trained has 32 bits."""
    dtype = compute_dtype(training.quantization)
    return nullcontext() if dtype == torch.float32 else torch.autocast("cpu", dtype)


def _micro_batch(training: Training, *, packs: bool) -> dict[str, Any]:
    """Return real ids and labels, since what is computed depends on their values."""
    settings = training.settings
    row = [0] * settings.max_length
    rows = settings.per_device_train_batch_size * (2 if settings.task == "preference" else 1)
    return pack([(row, row)] * rows) if packs else pad([(row, row)] * rows, padding=0)


def _loss(model: Model, training: Training, batch: dict[str, Any]) -> Tensor:
    settings = training.settings
    if settings.task == "classify":
        labels = batch.pop("labels")[:, 0]
        return F.cross_entropy(model(**batch).logits.float(), torch.zeros_like(labels))
    if not settings.speed.learned_positions:
        return _loss_of_trl(model, batch)
    losses, _ = answer_losses(model, batch)
    return losses.sum() / losses.numel()


def _loss_of_trl(model: Model, batch: dict[str, Any]) -> Tensor:
    """The loss that our trainers leave to TRL where train.speed.learned_positions is off."""
    from trl.trainer.utils import add_fused_lm_head  # noqa: PLC0415 - seconds, seldom asked for

    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    add_fused_lm_head(inside, outputs=("log_probs", "entropy", "is_top1"))
    found: Tensor = model(**batch, fused_lm_head=True).log_probs
    return -found.mean()
