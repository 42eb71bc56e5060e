"""What each optimizer of `train.optim` remembers of a parameter, in bytes."""

from collections.abc import Callable

from torch import nn

_FLOAT = 4
_BLOCK = 256  # numbers of 8 bits that share a constant (arXiv:2110.02861)
_SMALLEST = 4096  # smaller tensors are remembered in 32 bits
_STEP = 4  # torch counts steps in a tensor


def state_bytes(optim: str, module: nn.Module, parameter: nn.Parameter) -> int:
    """Return what the optimizer `optim` remembers of `parameter` of `module`."""
    return _STATES[optim](module, parameter)


def _adamw(_: nn.Module, parameter: nn.Parameter) -> int:
    return 2 * _FLOAT * parameter.numel() + _STEP


def _adamw_32bit(_: nn.Module, parameter: nn.Parameter) -> int:
    return 2 * _FLOAT * parameter.numel()


def _adamw_8bit(module: nn.Module, parameter: nn.Parameter) -> int:
    return 2 * _eight_bits(module, parameter)


def _lion_8bit(module: nn.Module, parameter: nn.Parameter) -> int:
    return _eight_bits(module, parameter)


def _lion_32bit(_: nn.Module, parameter: nn.Parameter) -> int:
    return _FLOAT * parameter.numel()


def _adafactor(_: nn.Module, parameter: nn.Parameter) -> int:
    """Means of rows and columns instead of the second moment of a matrix (arXiv:1804.04235)."""
    shape = parameter.shape
    if len(shape) == 1:
        return _FLOAT * (parameter.numel() + 1)  # and its scale, a number
    rows = parameter.numel() // shape[-1]
    columns = parameter.numel() // shape[-2]
    return _FLOAT * (rows + columns + 1)


def _sgd(_: nn.Module, __: nn.Parameter) -> int:
    return 0  # without momentum


def _eight_bits(module: nn.Module, parameter: nn.Parameter) -> int:
    """One moment; embeddings keep theirs in 32 bits, as loraflow.train.optimizer has it."""
    count = parameter.numel()
    if count < _SMALLEST or isinstance(module, nn.Embedding):
        return _FLOAT * count
    return count + _FLOAT * -(-count // _BLOCK)


_STATES: dict[str, Callable[[nn.Module, nn.Parameter], int]] = {
    "adamw_torch": _adamw,
    "adamw_8bit": _adamw_8bit,
    "paged_adamw_8bit": _adamw_8bit,
    "paged_adamw_32bit": _adamw_32bit,
    "lion_8bit": _lion_8bit,
    "paged_lion_32bit": _lion_32bit,
    "adafactor": _adafactor,
    "sgd": _sgd,
}
