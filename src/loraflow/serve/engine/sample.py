"""Chooses the next token."""

import math

import torch
from torch import Tensor

from loraflow.serve.engine.wish import Wish

_COLD = 1e-3  # temperature; below it, dividing by it overflows and only the likeliest is left
_LEAST_SHARE = 1e-6  # top_p; the likeliest token is always in


class Sampler:
    """Chooses for one answer, by its own generator, whatever is written beside it."""

    def __init__(self, wish: Wish) -> None:
        """Draw as the wish says."""
        self._wish = wish
        self._generator = torch.Generator()
        if wish.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(wish.seed)

    def choose(self, logits: Tensor) -> int:
        """Return the likeliest token, or one that is drawn: logits (vocabulary,).

        Raises:
            RuntimeError: if the logits are not numbers, as a diverged adapter puts them out.
        """
        best = int(logits.argmax())  # a NaN, if there is one
        if math.isnan(float(logits[best])):
            raise RuntimeError("the logits are not numbers")
        if self._wish.temperature < _COLD:
            return best
        shares = (logits.float().cpu() / self._wish.temperature).softmax(dim=-1)
        if self._wish.top_p < 1:
            shares = _nucleus(shares, self._wish.top_p)
        return int(torch.multinomial(shares, 1, generator=self._generator))


def _nucleus(shares: Tensor, top_p: float) -> Tensor:
    """Keep the likeliest tokens whose shares first add up to `top_p` (arXiv:1904.09751)."""
    ordered, places = shares.sort(descending=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = torch.zeros_like(shares)
    kept[places] = ordered * (before < max(top_p, _LEAST_SHARE))
    return kept
