"""How long an optimizer step takes, roughly: matrix products at a share of the machine's peak."""

import time

import torch

from loraflow.estimate.shapes import Training, build_model
from loraflow.model.quantize import compute_dtype

_SIZE = 1024
_SHARE = 0.45  # of the peak that a training reaches; measured with benchmarks.train
_PASS = 2  # operations a parameter and token: forwards, to the input's gradient, to the weight's


def seconds_of_a_step(training: Training) -> float:
    """Return the seconds of a step in which all rows are as long as `train.max_length` allows.

    It knows nothing of attention, whose share grows with the length.
    """
    settings = training.settings
    rows = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
    if settings.task == "preference":
        rows *= 2  # a better and a worse answer
    passes = 2 + (training.adapter.method == "full") + training.checkpointing
    model = build_model(training)
    parameters: int = sum(value.numel() for value in model.parameters() if value.dim() > 1)
    operations = _PASS * passes * parameters * rows * settings.max_length
    return operations / (_SHARE * _peak(compute_dtype(training.quantization)))


def _peak(dtype: torch.dtype) -> float:
    """Return the operations a second of a large matrix product on this machine."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrix = torch.ones(_SIZE, _SIZE, dtype=dtype, device=device)
    return 2 * _SIZE**3 / min(_seconds(matrix) for _ in range(5))


def _seconds(matrix: torch.Tensor) -> float:
    started = time.perf_counter()
    float((matrix @ matrix)[0, 0])  # waits for the product on a GPU
    return time.perf_counter() - started
