"""What AdaLoRA does besides learning: it keeps singular vectors apart, and takes ranks away.

PEFT leaves both to whoever trains: the Trainer of transformers never calls the allocator, and the
penalty hides in a loss that our trainers do not take from the model. They add it once a step.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_AVERAGES = ("exp_avg_ipt", "exp_avg_unc")  # PEFT's names: importance of weights, its uncertainty
_PATTERN = "rank_pattern"


class RankAllocation(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
    """Moves ranks after each step."""

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module,
        optimizer: Any,
        **_: Any,
    ) -> None:
        """Measure importance and take ranks away; gradients of the step are still there.

        Those of a step that accelerate's `optimizer` skipped are not finite: nothing is measured.
        """
        step = state.global_step + 1  # this one is not counted yet
        config = _config(model)
        measures = step < config.total_step - config.tfinal
        if not (measures and optimizer.step_was_skipped):
            _inside(model).update_and_allocate(step)


def orthogonality_loss(model: nn.Module) -> Tensor:
    """Return how far the singular vectors are from orthogonal, times its weight (eq. 3, AdaLoRA).

    The mean of |A A' - I| and |B' B - I| over all modules, as PEFT has it.
    """
    distances = []
    for name, vectors in _vectors(model):
        rows = vectors if "lora_A" in name else vectors.T  # (rank, width)
        gram = rows @ rows.T
        distances.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
    weight: float = _config(model).orth_reg_weight
    return weight * torch.stack(distances).mean()


def allocator_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what the allocator knows besides the weights; nothing without AdaLoRA."""
    if not _is_adalora(model):
        return {}
    allocator = _inside(model).rankallocator
    state = {
        f"{average}/{name}": value
        for average in _AVERAGES
        for name, value in getattr(allocator, average).items()
    }
    pattern = _config(model).rank_pattern or {}
    return state | {f"{_PATTERN}/{name}": torch.tensor(kept) for name, kept in pattern.items()}


def load_allocator_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back what `allocator_state` returned: the next step is then that of an unbroken run."""
    if not _is_adalora(model):
        return
    allocator = _inside(model).rankallocator
    parameters = dict(_inside(model).model.named_parameters())
    pattern: dict[str, list[bool]] = {}
    allocator.reset_ipt()
    for key, value in state.items():
        group, _, name = key.partition("/")
        if group == _PATTERN:
            pattern[name] = value.tolist()
        else:
            getattr(allocator, group)[name] = value.to(parameters[name].device)
            allocator.ipt[name] = torch.zeros_like(parameters[name])  # says that averages exist
    _config(model).rank_pattern = pattern or None


def _is_adalora(model: nn.Module) -> bool:
    return hasattr(_inside(model), "rankallocator")


def _inside(model: Any) -> Any:
    """Return PEFT's AdaLoraModel, through the wrappers of several processes."""
    model = getattr(model, "module", model)
    return getattr(model, "base_model", model)


def _config(model: nn.Module) -> Any:
    return _inside(model).peft_config["default"]


def _vectors(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [
        (name, value)
        for name, value in _inside(model).named_parameters()
        if ("lora_A" in name or "lora_B" in name) and value.requires_grad
    ]
