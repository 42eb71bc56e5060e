"""Counts the bytes of a computation by doing it with tensors that have shapes but no contents."""

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

Parts = dict[str, int]
"""What the bytes are for -> how many."""

_INDEXING = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._unsafe_index_put.default,
}


class Ledger(TorchDispatchMode):
    """Knows which tensors are alive, and how many bytes they were at the worst moment.

    What is made is booked under the present `phase`, and not at all before the first one. Memory
    that several tensors share counts once.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.phase = ""
        self.peaks: dict[str, Parts] = {}  # phase -> what was alive at its peak
        self._living: Counter[str] = Counter()
        self._storages: dict[int, tuple[str, int, Any]] = {}  # address -> phase, bytes, reference

    def rebook(self, tensor: Tensor, phase: str) -> None:
        """Count `tensor` under another phase than the one that it was made in."""
        address = tensor.untyped_storage()._cdata
        before, size, reference = self._storages[address]
        self._living[before] -= size
        self._living[phase] += size
        self._storages[address] = (phase, size, reference)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Compute real tensors (ids, labels, bounds) for real, and shapes of all others."""
        kwargs = kwargs or {}
        given = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
        if given and not any(isinstance(value, FakeTensor) or value.is_meta for value in given):
            with no_dispatch():
                return func(*args, **kwargs)
        if func in _INDEXING:
            args = (args[0], _numbers(args[1]), *args[2:])
        result = func(*args, **kwargs)
        for value in tree_iter(result):
            if isinstance(value, FakeTensor):
                self._book(value)
        return result

    def _book(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._storages:
            return
        size = storage.nbytes() if self.phase else 0
        reference = weakref.ref(storage, lambda _: self._forget(address))
        self._storages[address] = (self.phase, size, reference)
        self._living[self.phase] += size
        total = sum(self._living.values())
        if total > sum(self.peaks.get(self.phase, {}).values()):
            self.peaks[self.phase] = {part: size for part, size in self._living.items() if size}

    def _forget(self, address: int) -> None:
        phase, size, _ = self._storages.pop(address)
        self._living[phase] -= size


def _numbers(indices: list[Tensor | None]) -> list[Tensor | None]:
    """Replace real masks by the numbers of what they choose, whose count is then known."""
    found: list[Tensor | None] = []
    with no_dispatch():
        for index in indices:
            if index is not None and index.dtype == torch.bool:
                if isinstance(index, FakeTensor):  # nobody knows its values: at worst all are set
                    index = torch.ones(index.shape, dtype=torch.bool)  # noqa: PLW2901
                found.extend(index.nonzero(as_tuple=True))
            else:
                found.append(index)
    return found


@contextmanager
def traced(model: nn.Module) -> Iterator[Ledger]:
    """Give `model`, built on the meta device, tensors that claim to lie on a CPU, and count.

    On the meta device itself neither autocast nor the fused attention of a CPU would be chosen.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), Ledger() as ledger:
        made: dict[Tensor, Any] = {}
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None and tensor.is_meta:
                        if tensor not in made:
                            made[tensor] = _claimed(tensor)
                        tensors[name] = made[tensor]
        yield ledger


def _claimed(tensor: Tensor) -> Any:
    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
    if not isinstance(tensor, nn.Parameter):
        return empty
    return nn.Parameter(empty, requires_grad=tensor.requires_grad)
