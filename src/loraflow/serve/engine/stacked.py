"""LoRA adapters of many rows in two products a layer, however many adapters there are.

PEFT loads, checks and scales the adapters; its own mixed batches run one adapter after the other at
every layer, which took a third of a pass with one adapter and half of it with three. Here the
A matrices of all adapters in a pass stand one below the other, and the B matrices side by side. A
row's product with all A is set to zero where it belongs to adapters of other rows, and scaled where
it is its own, before it meets the B.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layout = tuple[tuple[str, int, float], ...]
"""Adapters of a layer in the order in which they are stacked: name, r and scale."""


class Rows:
    """Which adapter each row of a pass has; empty for none."""

    def __init__(self, names: Sequence[str]) -> None:
        """Take the name of a row's adapter for each row."""
        self.names = names
        self.adapters = frozenset(filter(None, names))
        self._scales: dict[Layout, Tensor] = {}

    def scales(self, layout: Layout, like: Tensor) -> Tensor:
        """Return (rows, 1, sum of r): the scale in a row's own columns, elsewhere zero."""
        if layout not in self._scales:
            columns = [
                torch.tensor([scale if name == own else 0.0 for own in self.names]).expand(r, -1)
                for name, r, scale in layout
            ]
            self._scales[layout] = torch.cat(columns).T[:, None].to(like)
        return self._scales[layout]


class StackedLora:
    """The LoRA adapters of one linear layer."""

    def __init__(self, layer: Any, rows: Callable[[], Rows]) -> None:
        """Add to what the base of PEFT's `layer` puts out, by the rows of the pass that runs."""
        self._layer = layer
        self._rows = rows
        self._layout: Layout = ()
        layer.base_layer.register_forward_hook(self._add)

    def stack(self, adapters: Sequence[str]) -> None:
        """Stack those of `adapters` that this layer has."""
        layer = self._layer
        has = [name for name in adapters if name in layer.lora_A]
        if has:
            self._a = torch.cat([layer.lora_A[name].weight for name in has])
            self._b = torch.cat([layer.lora_B[name].weight for name in has], dim=1)
        self._layout = tuple((name, layer.r[name], layer.scaling[name]) for name in has)

    def _add(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        rows = self._rows()
        if not self._layout or not rows.adapters:
            return None
        low = F.linear(inputs[0].to(self._a), self._a)
        low = low * rows.scales(self._layout, low)
        return output + F.linear(low, self._b).to(output)
