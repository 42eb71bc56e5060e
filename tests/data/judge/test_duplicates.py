"""The first of rows that say the same stays, and no row goes that says something else."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.clean.fingerprints import Digests, FingerprintFiles, Rows, take_fingerprints
from loraflow.data.judge.duplicates import (
    Copies,
    conflicting_answers,
    count_conflicts,
    exact_duplicates,
    near_duplicates,
)
from loraflow.data.records import Record
from loraflow.data.shingles import numbers, shingles
from tests.data.sources import on_any_machine, record

ENGLISH = (
    "The patient was admitted to the hospital late in the evening with a strong pain in the chest "
    "and was treated at once by the doctor on duty who gave her something against the pain and "
    "kept her under observation until morning"
)
CHINESE = (
    "患者因胸痛于夜间入院，值班医生立即给予止痛治疗，并安排心电监护，密切观察病情变化直至清晨。"
    "家属陪同到院，自述既往体健，否认药物过敏史，入院后精神尚可，饮食睡眠正常，大小便无异常。"
)
WORDS = ["".join(letters) for letters in combinations("klmnopqrstuvw", 3)]  # without a number


def digests(values: list[int]) -> Digests:
    return np.array(values, np.uint64)


def every(values: list[int]) -> Rows:
    return np.arange(len(values))


def near(texts: list[str], threshold: float = 0.8, ngram: int = 5) -> Copies:
    """Look for near duplicates among rows with these answers."""
    return near_records([record("", text) for text in texts], threshold, ngram)


def near_records(records: list[Record], threshold: float = 0.8, ngram: int = 5) -> Copies:
    with TemporaryDirectory() as folder:
        files = FingerprintFiles(Path(folder))
        files.add(
            take_fingerprints(
                records, [one.id for one in records], [""] * len(records), ngram=ngram
            )
        )
        found = files.finish()["numbers"]
        return near_duplicates(files, found, np.arange(len(records)), threshold=threshold)


def pairs(copies: Copies) -> list[tuple[int, int]]:
    """Return (row, the row that it copies)."""
    return list(zip(copies.rows.tolist(), copies.originals.tolist(), strict=True))


def test_first_of_equal_rows_stays() -> None:
    values = [5, 7, 5, 5, 7, 1]
    copies = exact_duplicates(digests(values), every(values))
    assert pairs(copies) == [(2, 0), (3, 0), (4, 1)]
    assert copies.similarity.tolist() == [1, 1, 1]


def test_only_the_rows_asked_for_are_compared() -> None:
    copies = exact_duplicates(digests([5, 5, 5]), np.array([1, 2]))
    assert pairs(copies) == [(2, 1)]


@pytest.mark.parametrize("values", [[], [1], [1, 2, 3]])
def test_different_rows_have_no_copies(values: list[int]) -> None:
    assert pairs(exact_duplicates(digests(values), every(values))) == []


@on_any_machine
@given(st.lists(st.integers(0, 5)))
def test_exact_duplicates_are_those_of_a_set(values: list[int]) -> None:
    copies = exact_duplicates(digests(values), every(values))
    assert pairs(copies) == [
        (row, values.index(value)) for row, value in enumerate(values) if values.index(value) < row
    ]


def test_english_text_with_another_word_is_a_near_duplicate() -> None:
    texts = [ENGLISH, "Something else altogether.", ENGLISH.replace("evening", "night")]
    copies = near(texts, threshold=0.7)
    assert pairs(copies) == [(2, 0)]
    assert 0.7 <= copies.similarity[0] < 1


def test_chinese_text_with_another_character_is_a_near_duplicate() -> None:
    copies = near([CHINESE, CHINESE.replace("夜", "晚")])
    assert pairs(copies) == [(1, 0)]
    assert 0.8 <= copies.similarity[0] < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2+2=4", "3+5=8"),
        (f"{ENGLISH}: 5 mg twice a day.", f"{ENGLISH}: 50 mg twice a day."),
        (f"{CHINESE}每日3次，每次500毫克。", f"{CHINESE}每日3次，每次250毫克。"),
        (f"{CHINESE}血压120/80mmHg。", f"{CHINESE}血压180/20mmHg。"),
    ],
)
def test_rows_with_other_numbers_are_never_merged(one: str, other: str) -> None:
    assert pairs(near([one, other], threshold=0.01)) == []


def test_a_preference_the_other_way_round_is_never_merged() -> None:
    """Both rows have all their text in common, and more so the longer their prompt is."""
    asked = record(CHINESE, ENGLISH)
    one = replace(asked, kind="preference", rejected="No idea.")
    other = replace(record(CHINESE, "No idea."), kind="preference", rejected=ENGLISH)
    again = replace(one, rejected="No idea at all.")
    assert pairs(near_records([one, other, again], threshold=0.5)) == [(2, 0)]


def test_copies_are_found_between_rows_with_other_numbers() -> None:
    """A template filled with two numbers in turn has its copies two rows apart."""
    texts = [f"{CHINESE}每日{times}次。" for times in (3, 2, 3, 2, 3, 2)]
    assert pairs(near(texts)) == [(2, 0), (3, 1), (4, 0), (5, 1)]


def test_rows_are_joined_over_others_and_the_first_stays() -> None:
    first, second, third = (" ".join(WORDS[start : start + 100]) for start in (0, 8, 16))
    assert pairs(near([first, third])) == []
    assert pairs(near([first, third, "apart", second])) == [(1, 0), (3, 0)]


@pytest.mark.parametrize("texts", [[], ["alone"], [ENGLISH, CHINESE, ""]])
def test_rows_that_are_not_alike_have_no_near_duplicates(texts: list[str]) -> None:
    assert pairs(near(texts)) == []


# texts that are the same, nearly the same, or have nothing in common
texts = st.lists(
    st.builds(
        lambda family, end: " ".join([*(f"{family}{word}" for word in WORDS), end]),
        st.sampled_from("abcd"),
        st.sampled_from(["", "one more", "two more words"]),
    ),
    max_size=8,
)


@on_any_machine
@given(texts)
def test_near_duplicates_are_those_of_comparing_every_pair(texts: list[str]) -> None:
    first = list(range(len(texts)))  # of each row's cluster
    for one, other in combinations(range(len(texts)), 2):
        if jaccard(texts[one], texts[other]) >= 0.8:
            joined = min(first[one], first[other])
            first = [joined if row in (first[one], first[other]) else row for row in first]
    expected = [(row, original) for row, original in enumerate(first) if row != original]
    assert pairs(near(texts)) == expected


def jaccard(one: str, other: str) -> float:
    left, right = {*shingles(one, 5)}, {*shingles(other, 5)}
    if numbers(one) != numbers(other):
        return 0
    return len(left & right) / len(left | right)


answered = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20)


@pytest.mark.parametrize("max_answers", [1, 2])
@on_any_machine
@given(rows=answered)
def test_conflicts_are_those_found_by_reading_row_after_row(
    rows: list[tuple[int, int]], max_answers: int
) -> None:
    expected, answers, originals = [], dict[int, list[int]](), dict[int, int]()
    for number, (prompt, answer) in enumerate(rows):
        known = answers.setdefault(prompt, [])
        originals.setdefault(prompt, number)
        if answer not in known:
            known.append(answer)
        if known.index(answer) >= max_answers:
            expected.append((number, originals[prompt]))
    prompts, given_answers = (digests([row[part] for row in rows]) for part in (0, 1))
    everyone = np.arange(len(rows))
    copies = conflicting_answers(prompts, given_answers, everyone, max_answers=max_answers)
    assert pairs(copies) == expected
    assert len(copies.similarity) == len(expected)


def test_answer_that_was_there_first_stays_however_late_it_comes_again() -> None:
    prompts, answers = digests([1, 1, 1]), digests([7, 8, 7])
    copies = conflicting_answers(prompts, answers, np.arange(3), max_answers=1)
    assert pairs(copies) == [(1, 0)]


@on_any_machine
@given(answered)
def test_conflicts_are_counted_by_prompt_and_by_row(rows: list[tuple[int, int]]) -> None:
    answers: dict[int, set[int]] = {}
    for prompt, answer in rows:
        answers.setdefault(prompt, set()).add(answer)
    conflicting = [prompt for prompt, different in answers.items() if len(different) > 1]
    prompts, given_answers = (digests([row[part] for row in rows]) for part in (0, 1))
    assert count_conflicts(prompts, given_answers, np.arange(len(rows))) == {
        "prompts": len(conflicting),
        "rows": sum(prompt in conflicting for prompt, _ in rows),
    }
