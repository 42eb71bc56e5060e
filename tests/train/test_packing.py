"""Packed rows keep their tokens, positions and labels, and say where they begin."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.template import IGNORED
from loraflow.train.packing import learned_rows, pack, pad

ROWS = [([5, 6, 7], [IGNORED, 6, 7]), ([8, 9], [IGNORED, 9]), ([3], [IGNORED])]


def test_rows_lie_end_to_end_and_positions_restart() -> None:
    batch = pack(ROWS)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9, 3]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0]]
    assert batch["cu_seq_lens_q"].tolist() == [0, 3, 5, 6]
    assert batch["max_length_q"] == 3


def test_the_first_token_of_a_row_is_never_learned_from_the_row_before() -> None:
    batch = pack([([5, 6], [5, 6]), ([7, 8], [7, 8])])
    assert batch["labels"].tolist() == [[IGNORED, 6, IGNORED, 8]]


def test_padding_is_neither_attended_to_nor_learned() -> None:
    batch = pad(ROWS, padding=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 0], [3, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert batch["labels"].tolist()[1] == [IGNORED, 9, IGNORED]


row = st.integers(1, 6).flatmap(
    lambda size: st.lists(st.sampled_from([IGNORED, 7]), min_size=size, max_size=size)
)


@given(st.lists(row, min_size=1, max_size=6))
def test_packed_and_padded_batches_learn_the_same_rows(labels: list[list[int]]) -> None:
    rows = [(list(range(len(row))), row) for row in labels]
    packed, padded = pack(rows), pad(rows, padding=0)
    assert learned_rows(packed).tolist() == learned_rows(padded).tolist()
    expected = [number for number, row in enumerate(labels) for label in row[1:] if label == 7]
    assert learned_rows(packed).tolist() == expected


@pytest.mark.parametrize("make", [pack, lambda rows: pad(rows, padding=0)])
def test_all_tensors_are_whole_numbers(make: object) -> None:
    batch = make(ROWS)  # type: ignore[operator]
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64
