"""The memory of a training, by what it is for."""

import warnings
from dataclasses import dataclass, field, replace
from functools import lru_cache

from loraflow.estimate.depth import trace_all
from loraflow.estimate.optimizer import state_bytes
from loraflow.estimate.shapes import (
    Model,
    Training,
    build_model,
    parameter_bytes,
    trained_tensors,
)
from loraflow.estimate.step import ACTIVATIONS, BACKWARD, END, GRADIENTS, OUTPUT

GIB = 2**30

LIBRARIES = 0.63 * GIB  # Python, torch, transformers, TRL and their kernels; measured on Linux
CUDA_CONTEXT = 0.5 * GIB  # on a GPU; assumed, not measured

# Of what comes and goes in a step, on a CPU: glibc's heap keeps holes between buffers whose sizes
# change from layer to layer, more of them where it hands nothing back. Fitted to four trainings of
# SmolLM2 (benchmarks/memory.py), 0.58 to 0.79 and 0.42 to 0.53: what is counted above is exact in
# tensors, this is not.
_HOLES_KEPT, _HOLES = 0.65, 0.45

_RANK_AVERAGES = 3 * 4  # bytes a parameter: AdaLoRA's importance, its average, its uncertainty
_OF_STEP = 2  # copies of the largest tensor, in float32, while AdamW computes its update


_PASSING = ("activations", "output layer", "backward pass")


@dataclass(frozen=True)
class Estimate:
    """What a training takes at its worst moment."""

    parts: dict[str, float]  # GiB, in the order in which they are shown
    checkpointing: bool  # activations are computed twice
    unpacked: bool  # a quantized base is de-quantized once

    @property
    def total_gib(self) -> float:
        """Return the sum of all parts."""
        return sum(self.parts.values())


def estimate_training(training: Training, *, on_gpu: bool) -> Estimate:
    """Return the memory of a training, its processes together on a CPU, one of them on a GPU.

    Trainings that differ in their rate or seed alone take the same: it is worked out once.
    """
    settings = replace(training.settings, learning_rate=1.0, seed=0)
    training = replace(training, on_gpu=on_gpu)
    return _estimate(_Alike(repr(replace(training, settings=settings)), training))


@dataclass(frozen=True)
class _Alike:
    """A training that is equal to all others of the same shapes."""

    text: str
    training: Training = field(compare=False)


@lru_cache(maxsize=256)
def _estimate(alike: _Alike) -> Estimate:
    training = alike.training
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PEFT's calls into transformers
        model = build_model(training)
        parts = _held(model, training)
        if training.adapter.method != "none":
            parts |= _worst_moment(model, training)
    if not training.on_gpu:
        share = _HOLES_KEPT if training.settings.speed.keep_memory else _HOLES
        parts["holes in the heap"] = share * sum(parts.get(name, 0) for name in _PASSING)
        parts = {name: size * training.settings.processes for name, size in parts.items()}
    parts["CUDA context" if training.on_gpu else "libraries"] = (
        CUDA_CONTEXT if training.on_gpu else LIBRARIES * training.settings.processes
    )
    return Estimate(
        {name: size / GIB for name, size in parts.items() if size},
        training.checkpointing,
        training.unpacked,
    )


def _held(model: Model, training: Training) -> dict[str, float]:
    """Return what stays from step to step."""
    frozen, trained = parameter_bytes(model)
    in_base = training.adapter.method in ("full", "head_only")
    settings = training.settings
    state = sum(state_bytes(settings.optim, *place) for place in trained_tensors(model))
    if training.adapter.method == "adalora":
        state += trained // 4 * _RANK_AVERAGES
    return {
        "weights": frozen + trained * in_base,
        "adapter": trained * (not in_base),
        "optimizer": state,
    }


def _worst_moment(model: Model, training: Training) -> dict[str, float]:
    """Return what comes and goes, at the moment when it is most."""
    gradients = [parameter.nbytes for _, parameter in trained_tensors(model)]
    update = {GRADIENTS: sum(gradients), BACKWARD: _OF_STEP * max(gradients, default=0)}
    peaks = [update, *trace_all(model, training).values()]
    worst = max(peaks, key=lambda parts: sum(parts.values()))
    return {
        "gradients": worst.get(GRADIENTS, 0),
        "activations": worst.get(ACTIVATIONS, 0),
        "output layer": worst.get(OUTPUT, 0),
        "backward pass": worst.get(BACKWARD, 0) + worst.get(END, 0),
    }
