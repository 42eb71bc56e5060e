"""What a training does about memory where the config says `auto`."""

from dataclasses import dataclass, replace

from loraflow.config import AdapterConfig, TrainConfig
from loraflow.estimate.machine import Machine, this_machine
from loraflow.estimate.memory import GIB, Estimate, estimate_training
from loraflow.estimate.shapes import Training, training_of
from loraflow.model.source import BaseModel

_ENOUGH = 0.8  # share of the machine's memory that a training may take before it saves
_PLENTY = 0.5  # share that a training may take with its base unpacked


@dataclass(frozen=True)
class Decisions:
    """What was decided, and the memory that it takes."""

    activation_checkpointing: bool
    keep_dequantized: bool
    estimate: Estimate


def decide(adapter: AdapterConfig, settings: TrainConfig, base: BaseModel) -> Decisions:
    """Decide from the config and this machine's whole memory, not from what is free now.

    So a training that is resumed decides as it did when it began.
    """
    return decide_training(training_of(base, adapter, settings), this_machine())


def decide_training(training: Training, machine: Machine) -> Decisions:
    """Decide for a training whose shapes are known."""
    speed = training.settings.speed
    total = machine.total / GIB
    wished = speed.activation_checkpointing
    saves = wished is True
    found = _estimate(training, machine, checkpointing=saves, unpacked=False)
    if wished == "auto" and found.total_gib > _ENOUGH * total and _can_save(training):
        saves = True
        found = _estimate(training, machine, checkpointing=True, unpacked=False)
    if training.quantization.method == "none" or speed.keep_dequantized is False:
        return Decisions(saves, False, found)
    unpacked = _estimate(training, machine, checkpointing=saves, unpacked=True)
    if speed.keep_dequantized == "auto" and unpacked.total_gib > _PLENTY * total:
        return Decisions(saves, False, found)
    return Decisions(saves, True, unpacked)


def _can_save(training: Training) -> bool:
    """Prefixes live in the cache that checkpointed layers do without."""
    return training.adapter.method != "prefix"


def _estimate(
    training: Training, machine: Machine, *, checkpointing: bool, unpacked: bool
) -> Estimate:
    chosen = replace(training, checkpointing=checkpointing, unpacked=unpacked)
    return estimate_training(chosen, on_gpu=machine.is_gpu)
