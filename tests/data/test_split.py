"""Rows of one prompt stay together, and each row keeps its side as the data grows."""

import random

from hypothesis import example, given
from hypothesis import strategies as st

from loraflow.data.records import Record
from loraflow.data.split import Split, split_records
from tests.data.sources import on_any_machine, record

# few prompts, so that many rows share one
groups = st.lists(st.integers(0, 12), max_size=40)
sizes = st.integers(1, 10)


def as_records(prompts: list[int]) -> list[Record]:
    return [record(f"prompt {prompt}", str(line), line) for line, prompt in enumerate(prompts)]


def split(records: list[Record], held_out: int, train: int | None = None, seed: int = 0) -> Split:
    return split_records(records, held_out_rows=held_out, train_rows=train, seed=seed)


def prompts(records: list[Record]) -> set[str]:
    return {row.prompt[0]["content"] for row in records}


def ids(records: list[Record]) -> set[str]:
    return {row.id for row in records}


@on_any_machine
@given(groups.map(as_records), sizes, st.none() | sizes)
def test_every_row_is_on_exactly_one_side(
    records: list[Record], held_out: int, train: int | None
) -> None:
    result = split(records, held_out, train)
    everywhere = [*result.train, *result.held_out, *result.unused]
    assert sorted(row.line for row in everywhere) == [row.line for row in records]
    assert len(result.held_out) <= held_out
    assert train is None or len(result.train) <= train


@on_any_machine
@given(groups.map(as_records), sizes, st.none() | sizes)
def test_no_prompt_straddles_training_and_held_out(
    records: list[Record], held_out: int, train: int | None
) -> None:
    result = split(records, held_out, train)
    assert not prompts(result.held_out) & prompts([*result.train, *result.unused])


@on_any_machine
@given(groups.map(as_records), sizes, st.randoms())
def test_order_of_the_source_does_not_matter(
    records: list[Record], held_out: int, order: random.Random
) -> None:
    shuffled = order.sample(records, len(records))
    assert ids(split(records, held_out).held_out) == ids(split(shuffled, held_out).held_out)


@on_any_machine
@given(st.sets(st.integers(0, 99)), st.sets(st.integers(100, 199), max_size=5), sizes)
def test_added_rows_take_their_own_places_only(old: set[int], new: set[int], held_out: int) -> None:
    before = split(as_records(sorted(old)), held_out)
    after = split(as_records([*sorted(old), *sorted(new)]), held_out)
    assert not ids(before.train) & ids(after.held_out)
    assert len(ids(before.held_out) - ids(after.held_out)) <= len(new)


@on_any_machine
@given(groups, st.sets(st.integers(100, 199), max_size=5), sizes)
@example(old=[0, 1, 1], new={100}, held_out=2)
def test_rows_with_new_prompts_bring_no_trained_row_to_the_held_out_side(
    old: list[int], new: set[int], held_out: int
) -> None:
    before = split(as_records(old), held_out)
    after = split(as_records([*old, *sorted(new)]), held_out)
    assert not ids(before.train) & ids(after.held_out)


def test_prompts_that_differ_in_case_and_punctuation_are_one() -> None:
    twins = [record("What is it?", "a"), record("what is  IT", "b")]
    result = split(twins, 1)
    assert (len(result.train), len(result.held_out)) == (2, 0)


def test_history_is_part_of_the_prompt() -> None:
    earlier = record("earlier", "answer").messages
    rows = [record("q", "a"), Record((*earlier, *record("q", "a").messages), 2)]
    result = split(rows, 1)
    assert (len(result.train), len(result.held_out)) == (1, 1)


def test_same_seed_same_split_and_another_seed_another() -> None:
    records = as_records(list(range(100)))
    held_out = [ids(split(records, 20, seed=seed).held_out) for seed in (0, 0, 1)]
    assert held_out[0] == held_out[1]
    assert held_out[0] != held_out[2]


def test_number_of_training_rows_does_not_change_what_is_held_out() -> None:
    records = as_records(list(range(100)))
    few, all_rows = split(records, 20, 10), split(records, 20)
    assert few.held_out == all_rows.held_out
    assert few.train == all_rows.train[:10]
    assert (len(few.unused), all_rows.unused) == (70, [])
