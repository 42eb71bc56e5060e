"""The order in which rows are trained on: drawn from seed and epoch, and from nothing else."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

_BATCHES_SORTED_TOGETHER = 50  # as in transformers' LengthGroupedSampler


class RowOrder(Sampler[int]):
    """A new random order each epoch; padded rows are grouped so that like lengths meet.

    Unlike transformers' sampler it does not draw from the global generator, whose state at the
    beginning of an epoch a resumed training cannot know.
    """

    def __init__(
        self, lengths: Sequence[int], *, seed: int, group: int | None, epoch: int = 0
    ) -> None:
        """Order rows of `lengths`; `group` is how many rows make an optimizer step, if padded.

        `epoch` is the first one that is drawn: of several processes that are resumed inside it none
        is told, since accelerate hands it to no sampler below those that skip and share batches.
        """
        self._lengths = np.asarray(lengths)
        self._seed = seed
        self._group = group
        self._epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of `epoch` from now on."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield row numbers."""
        draw = np.random.default_rng([self._seed, self._epoch])
        order = draw.permutation(len(self._lengths))
        if self._group is not None:
            order = self._grouped(order, self._group, draw)
        yield from order.tolist()

    def _grouped(
        self, order: "np.ndarray[Any, Any]", group: int, draw: np.random.Generator
    ) -> "np.ndarray[Any, Any]":
        """Sort by length within stretches of many steps, then shuffle the steps."""
        stretch = group * _BATCHES_SORTED_TOGETHER
        parts = [order[start : start + stretch] for start in range(0, len(order), stretch)]
        ordered = np.concatenate(
            [part[np.argsort(-self._lengths[part], kind="stable")] for part in parts]
        )
        steps = [ordered[start : start + group] for start in range(0, len(ordered), group)]
        last = steps.pop() if len(steps[-1]) < group else None  # a short step stays at the end
        shuffled = [steps[index] for index in draw.permutation(len(steps))]
        return np.concatenate(shuffled + ([] if last is None else [last]))
