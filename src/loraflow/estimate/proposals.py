"""Refuses a training that cannot fit in memory, and proposes settings with which it would."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from loraflow.errors import UserError
from loraflow.estimate.decisions import Decisions, decide_training
from loraflow.estimate.machine import Machine
from loraflow.estimate.memory import GIB
from loraflow.estimate.shapes import Training


@dataclass(frozen=True)
class Proposal:
    """Settings that would fit, as one types them, and what they take."""

    overrides: str
    gib: float


def require_memory(trainings: Mapping[str, Training], machine: Machine) -> dict[str, Decisions]:
    """Return what is decided for each training, in order.

    Raises:
        UserError: if one takes more than this machine has free; names what would fit.
    """
    decided = {name: decide_training(training, machine) for name, training in trainings.items()}
    require_room(decided, trainings, machine)
    return decided


def require_room(
    decided: Mapping[str, Decisions], trainings: Mapping[str, Training], machine: Machine
) -> None:
    """Refuse what was decided where this machine has no room for it.

    Raises:
        UserError: as `require_memory` does.
    """
    for name, decisions in decided.items():
        needed = decisions.estimate.total_gib
        if needed * GIB > machine.free:
            raise UserError(_refusal(name, needed, trainings[name], machine))


def proposals(training: Training, machine: Machine) -> list[Proposal]:
    """Return single changes that make the training fit, or several together if none does alone."""
    alone = [_tried(training, [change], machine) for change in _changes(training)]
    if fitting := [proposal for proposal in alone if _fits(proposal, machine)]:
        return fitting
    changes: list[_Change] = []
    for change in _changes(training):
        changes.append(change)
        together = _tried(training, changes, machine)
        if _fits(together, machine):
            return [together]
    return []


@dataclass(frozen=True)
class _Change:
    overrides: str
    fields: Mapping[str, Mapping[str, Any]]  # section -> its changed values


def _changes(training: Training) -> Iterator[_Change]:
    """Yield changes, those that change the least of what is learned first."""
    settings, adapter, held = training.settings, training.adapter, training.quantization
    batch, steps = settings.per_device_train_batch_size, settings.gradient_accumulation_steps
    if batch > 1:
        rows = batch * steps  # of an optimizer step: as many as before
        yield _Change(
            f"train.per_device_train_batch_size=1 train.gradient_accumulation_steps={rows}",
            {"settings": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": rows}},
        )
    if settings.speed.activation_checkpointing is False and adapter.method != "prefix":
        speed = replace(settings.speed, activation_checkpointing=True)
        yield _Change("train.speed.activation_checkpointing=true", {"settings": {"speed": speed}})
    if settings.speed.keep_dequantized is True and held.method != "none":
        speed = replace(settings.speed, keep_dequantized=False)
        yield _Change("train.speed.keep_dequantized=false", {"settings": {"speed": speed}})
    if held.method == "none" and adapter.method not in ("full", "head_only"):
        yield _Change("quantization=nf4", {"quantization": {"method": "nf4", "double_quant": True}})
    if settings.max_length > _SHORT:
        half = settings.max_length // 2
        yield _Change(f"train.max_length={half}", {"settings": {"max_length": half}})
    if adapter.method == "lora" and adapter.r > _SMALL:
        yield _Change(f"adapter.r={_SMALL}", {"adapter": {"r": _SMALL}})
    if adapter.method == "full":
        yield _Change("adapter=lora", {"adapter": {"method": "lora"}})


_SHORT, _SMALL = 256, 8


def _tried(training: Training, changes: list[_Change], machine: Machine) -> Proposal:
    for change in changes:
        for section, values in change.fields.items():
            changed = replace(getattr(training, section), **values)
            training = replace(training, **{section: changed})
    needed = decide_training(training, machine).estimate.total_gib
    return Proposal(" ".join(change.overrides for change in changes), needed)


def _fits(proposal: Proposal, machine: Machine) -> bool:
    return proposal.gib * GIB <= machine.free


def _refusal(name: str, needed: float, training: Training, machine: Machine) -> str:
    what = f"before.{name}" if name else "this training"
    found = proposals(training, machine)
    fix = (
        "these would fit: " + "; ".join(f"{one.overrides} ({one.gib:.1f} GiB)" for one in found)
        if found
        else "no change that is tried here makes it fit: choose a smaller model"
    )
    return (
        f"{what} takes about {needed:.1f} GiB, and of {machine.total / GIB:.1f} GiB of "
        f"{machine.kind} {machine.free / GIB:.1f} are free; {fix}"
    )
