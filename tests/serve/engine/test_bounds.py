"""What keeps a server's memory flat: few shapes of passes, and few conversations remembered."""

import pytest
import torch

from loraflow.serve.engine.forward import rows_of
from loraflow.serve.engine.memory import Memory
from loraflow.serve.engine.remembered import _MOST, Remembered


def memory_of(tokens: int) -> Memory:
    memory = Memory(1, tokens)
    memory.extend(0, torch.zeros(1, tokens, 2), torch.zeros(1, tokens, 2))
    memory.advance(tokens)
    return memory


def test_passes_have_few_shapes_and_little_waste() -> None:
    rows = {tokens: rows_of(tokens) for tokens in range(1, 4097)}
    assert all(tokens <= row <= tokens * 9 / 8 for tokens, row in rows.items())
    assert all(rows[tokens] == tokens for tokens in range(1, 17))
    assert len(set(rows.values())) == 16 + 8 * 8


def test_the_oldest_conversation_is_forgotten_whatever_its_size() -> None:
    remembered = Remembered()
    conversations = [[number, *range(1000, 1040)] for number in range(_MOST + 3)]
    for tokens in conversations:
        remembered.keep("a", tokens, memory_of(len(tokens)))
    found = [remembered.begin("a", [*tokens, 1], 50) is not None for tokens in conversations]
    assert found == [False] * 3 + [True] * _MOST
    assert remembered.size == _MOST * 41 * 2 * 2 * 4
    remembered.forget("a")
    assert remembered.size == 0


def test_no_more_bytes_are_remembered_than_there_is_room_for() -> None:
    one = memory_of(40).size
    remembered = Remembered(room=2 * one)
    for number in range(3):
        remembered.keep("a", [number] * 40, memory_of(40))
    assert remembered.size == 2 * one
    assert remembered.begin("a", [0] * 41, 50) is None


def test_a_conversation_without_room_leaves_the_others_remembered() -> None:
    remembered = Remembered(room=2 * memory_of(40).size)
    remembered.keep("a", [1] * 40, memory_of(40))
    remembered.keep("a", [2] * 100, memory_of(100))
    assert remembered.begin("a", [1] * 41, 50) is not None
    assert remembered.size == memory_of(40).size


def test_an_answer_has_no_more_room_than_it_can_need() -> None:
    memory = Memory(1, 100)
    for length in range(1, 101):
        keys, values = memory.extend(0, torch.full((1, 1, 2), length), torch.zeros(1, 1, 2))
        memory.advance(1)
        assert keys[0, :, 0].tolist() == list(range(1, length + 1))
        assert keys.untyped_storage().nbytes() <= 100 * 2 * 8 and values.shape == keys.shape


@pytest.mark.parametrize(("asked", "shared"), [(50, 50), (80, 60), (33, None), (40, 40)])
def test_the_longest_beginning_is_found(asked: int, shared: int | None) -> None:
    remembered = Remembered()
    whole = list(range(100))
    for length in (35, 60, 45):
        remembered.keep("a", [*whole[:length], 7], memory_of(length))
    prompt = [*whole[: asked - 1], 9] if shared is None else [*whole[:asked], 9]
    remembered.keep("b", prompt, memory_of(len(prompt)))
    found = remembered.begin("a", prompt, 100)
    expected = 32 if shared is None else shared
    assert found is not None and found.length == expected
