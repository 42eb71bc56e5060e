"""Trains the lowest layers first and the highest last, a group of layers at a time."""

import logging
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from loraflow.errors import UserError
from loraflow.model.architectures import layer_of

log = logging.getLogger(__name__)


class Progressive(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
    """Drops the gradients of all groups of layers but one.

    Optimizers pass over a parameter without a gradient: neither its moments nor weight decay move
    it. Which group is trained follows from the step alone, so a resumed training needs no state.
    What lies outside of layers, such as a head, is always trained.
    """

    def __init__(self, model: nn.Module, shares: Sequence[float]) -> None:
        """Cut the trained layers of `model` into as many groups as there are shares of the steps.

        Raises:
            UserError: if there are fewer layers than groups.
        """
        self._shares = shares
        self._group_of = _group_layers(model, len(shares))
        self._parameters = [
            (value, self._group_of[layer])
            for name, value in model.named_parameters()
            if value.requires_grad and (layer := layer_of(name)) is not None
        ]
        self._phase = 0
        for parameter, group in self._parameters:
            # frees gradients at once, and keeps them out of the norm that is clipped
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._dropper(group)
            )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Say what is trained when.

        Raises:
            UserError: if a group would be trained in no step.
        """
        ends = _phase_ends(self._shares, state.max_steps)
        if len(set(ends)) < len(ends) or ends[0] == 0:
            raise UserError(
                f"train.progressive={list(self._shares)}: {state.max_steps} steps leave a group of "
                "layers without any; raise train.max_steps or train.num_train_epochs"
            )
        for group, end in enumerate(ends):
            layers = [layer for layer, own in self._group_of.items() if own == group]
            log.info("layers %d to %d are trained up to step %d", layers[0], layers[-1], end)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Choose the group of this step."""
        self._phase = phase_of(state.global_step, self._shares, state.max_steps)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Drop gradients that came past the hooks: wrappers of several processes set them later."""
        for parameter, group in self._parameters:
            if group != self._phase:
                parameter.grad = None

    def _dropper(self, group: int) -> Any:
        def drop(parameter: Tensor) -> None:
            if group != self._phase:
                parameter.grad = None

        return drop


def phase_of(step: int, shares: Sequence[float], steps: int) -> int:
    """Return the group of layers that is trained in `step`, counted from 0, of `steps`."""
    ends = _phase_ends(shares, steps)
    return next((group for group, end in enumerate(ends) if step < end), len(ends) - 1)


def _phase_ends(shares: Sequence[float], steps: int) -> list[int]:
    return [round(steps * part / sum(shares)) for part in accumulate(shares)]


def _group_layers(model: nn.Module, groups: int) -> dict[int, int]:
    """Map each trained layer to its group; lower groups get the layers that are left over."""
    layers = sorted(
        {
            layer
            for name, value in model.named_parameters()
            if value.requires_grad and (layer := layer_of(name)) is not None
        }
    )
    if len(layers) < groups:
        raise UserError(
            f"train.progressive has {groups} shares and the model {len(layers)} trained layers; "
            "give at most one share a layer"
        )
    return {layer: place * groups // len(layers) for place, layer in enumerate(layers)}
