"""Keys and values of one answer: of its prompt, and of what is written of it so far."""

import torch
from torch import Tensor

_ROOM = 64  # tokens that there is room for at least


class Memory:
    """What attention looks back at. Every layer keeps keys and values (heads, room, width)."""

    def __init__(self, layers: int, most: int) -> None:
        """Remember nothing yet, and never more than `most` tokens."""
        self.length = 0  # tokens of which all layers have keys
        self._most = most
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put keys and values of new tokens, (heads, tokens, width), behind those of a layer.

        Returns:
            All of them: (heads, length + tokens, width). They count when `advance` says so.
        """
        end = self.length + keys.shape[1]
        kept_keys = self._keys[layer] = self._with_room(self._keys[layer], keys, end)
        kept_values = self._values[layer] = self._with_room(self._values[layer], values, end)
        kept_keys[:, self.length : end] = keys
        kept_values[:, self.length : end] = values
        return kept_keys[:, :end], kept_values[:, :end]

    def advance(self, tokens: int) -> None:
        """Count tokens that every layer has been extended by."""
        self.length += tokens

    def beginning(self, tokens: int, most: int) -> "Memory":
        """Return a copy of the first `tokens`, for another answer of `most` to go on with."""
        copy = Memory(len(self._keys), most)
        copy.length = tokens
        copy._keys = [None if kept is None else kept[:, :tokens].clone() for kept in self._keys]
        copy._values = [None if kept is None else kept[:, :tokens].clone() for kept in self._values]
        return copy

    @property
    def size(self) -> int:
        """Bytes of the tokens, without the room behind them."""
        kept = [one[:, : self.length] for one in [*self._keys, *self._values] if one is not None]
        return sum(one.numel() * one.element_size() for one in kept)

    def _with_room(self, kept: Tensor | None, new: Tensor, end: int) -> Tensor:
        """Return `kept` with room for `end` tokens; the room doubles, so that copies stay few."""
        if kept is not None and kept.shape[1] >= end:
            return kept
        room = max(end, min(max(_ROOM, 2 * end), self._most))
        grown = new.new_empty(new.shape[0], room, new.shape[2])
        if kept is not None:
            grown[:, : kept.shape[1]] = kept
        return grown


def layers_of(causal_lm: torch.nn.Module) -> int:
    """Return how many layers keep keys and values."""
    return int(causal_lm.config.get_text_config().num_hidden_layers)  # type: ignore[operator, union-attr]
