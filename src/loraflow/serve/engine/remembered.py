"""Keys and values of prompts that were read: a conversation that goes on is not read again."""

from collections import OrderedDict
from collections.abc import Sequence

from loraflow.serve.engine.memory import Memory

_ROOM = 256 * 2**20  # bytes of all that is remembered
_MOST = 256  # conversations: every new prompt is compared with each of them
_WORTH = 32  # tokens: fewer are sooner read again


class Remembered:
    """What was read last, by adapter; the oldest is forgotten first."""

    def __init__(self, room: int = _ROOM) -> None:
        """Remember up to `room` bytes."""
        self._room = room
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Memory] = OrderedDict()
        self.size = 0

    def keep(self, digest: str, tokens: Sequence[int], memory: Memory) -> None:
        """Remember an answer that has ended: all its tokens that `memory` has, and no more."""
        key = (digest, tuple(tokens[: memory.length]))
        if memory.length < _WORTH or memory.size > self._room or key in self._kept:
            return
        kept = memory.beginning(memory.length, memory.length)  # without the room behind
        self._kept[key] = kept
        self.size += kept.size
        while self.size > self._room or len(self._kept) > _MOST:
            _, forgotten = self._kept.popitem(last=False)
            self.size -= forgotten.size

    def begin(self, digest: str, prompt: Sequence[int], most: int) -> Memory | None:
        """Return what is remembered of the beginning of a prompt; its last token is never in it.

        `most` is how many tokens the prompt and its answer can have.
        """
        shared, found = _WORTH - 1, None
        known = tuple(prompt[:-1])
        for key in self._kept:
            if key[0] == digest and _share_more(key[1], known, shared):
                shared, found = _shared(key[1], known), key
        if found is None:
            return None
        self._kept.move_to_end(found)
        return self._kept[found].beginning(shared, most)

    def forget(self, digest: str) -> None:
        """Forget all of an adapter."""
        for key in [key for key in self._kept if key[0] == digest]:
            self.size -= self._kept.pop(key).size


def _share_more(one: tuple[int, ...], other: tuple[int, ...], than: int) -> bool:
    """Tell whether both begin with more than so many equal tokens, without a look at each."""
    return min(len(one), len(other)) > than and one[: than + 1] == other[: than + 1]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    size = min(len(one), len(other))
    return next((at for at in range(size) if one[at] != other[at]), size)
