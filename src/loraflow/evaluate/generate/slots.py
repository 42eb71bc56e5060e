"""Keys and values of several answers that are being written, each in a slot of its own."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

_ROOM = 128  # tokens by which slots grow


class Slots(Cache):  # type: ignore[misc]  # transformers comes without types
    """A cache whose rows have lengths of their own, from place 0 on, without padding between.

    Slots stay the same number to the end, empty ones among them: a matrix product of another shape
    may add up in another order, and an answer would depend on how many are written beside it.
    """

    def __init__(self, count: int, layers: int) -> None:
        """Make `count` empty slots for a model of `layers` layers."""
        self.lengths = [0] * count  # tokens whose keys are there
        super().__init__(layers=[_SlotLayer(self) for _ in range(layers)])

    @torch.inference_mode()
    def fill(self, slot: int, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Put the keys and values of a prompt, (heads, tokens, width) by layer, into a slot."""
        self.lengths[slot] = layers[0][0].shape[1]
        for layer, (keys, values) in zip(self.layers, layers, strict=True):
            layer.fill(slot, keys, values)

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self.lengths[slot] = 0

    def advance(self) -> None:
        """Count the token that has been added to every slot in use."""
        self.lengths = [length + 1 if length else 0 for length in self.lengths]


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer: (slots, heads, room, width)."""

    is_sliding = False

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self._slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make the slots once the width of keys and values is known: (heads, tokens, width)."""
        self.keys, self.values = (
            states.new_zeros(len(self._slots.lengths), states.shape[0], 0, states.shape[2])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def fill(self, slot: int, keys: Tensor, values: Tensor) -> None:
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        tokens = keys.shape[1]
        self._make_room(tokens)
        self.keys[slot, :, :tokens] = keys
        self.values[slot, :, :tokens] = values

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Add one token to each slot: (slots, heads, 1, width)."""
        self._make_room(max(self._slots.lengths) + 1)
        rows = range(len(self._slots.lengths))
        self.keys[rows, :, self._slots.lengths] = key_states[:, :, 0]
        self.values[rows, :, self._slots.lengths] = value_states[:, :, 0]
        return self.keys, self.values

    def _make_room(self, tokens: int) -> None:
        missing = tokens - self.keys.shape[2]
        if missing > 0:
            more = -(-missing // _ROOM) * _ROOM
            self.keys = F.pad(self.keys, (0, 0, 0, more))
            self.values = F.pad(self.values, (0, 0, 0, more))

    def get_seq_length(self) -> int:
        """Of no meaning here: positions are given with the tokens."""
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Of no meaning here: there is no mask."""
        return query_length, 0

    def get_max_length(self) -> int:
        """Slots grow: no maximum."""
        return -1


def slot_attention(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], **options: Any
) -> tuple[Tensor, None]:
    """Let the newest token of each slot attend to all before it, slot by slot.

    Args:
        query: (slots, heads, 1, width)
        key: (slots, heads, room, width), of as many heads as the query or fewer
        value: as key
        lengths: tokens of each slot, the newest one among them
        options: scaling of the scores, and sliding_window, how many tokens back are seen

    Returns:
        (slots, 1, heads, width), and no weights

    Raises:
        NotImplementedError: for a model that asks for what is not computed here.
    """
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise NotImplementedError("attention with a softcap or sinks is not computed in slots")
    window = options.get("sliding_window")
    # heads that share keys are rows of one query, and every slot a batch: torch's fused kernel
    heads = key.shape[1]
    rows = query.reshape(len(lengths), heads, -1, query.shape[-1])
    attended = rows.new_empty(*rows.shape[:-1], value.shape[-1])
    for slot, length in enumerate(lengths):
        seen = slice(max(0, length - window) if window else 0, length)
        one = slice(slot, slot + 1)
        attended[one] = F.scaled_dot_product_attention(
            rows[one], key[one, :, seen], value[one, :, seen], scale=options.get("scaling")
        )
    return attended.reshape(len(lengths), 1, query.shape[1], -1), None
