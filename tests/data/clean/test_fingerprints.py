"""Fingerprints agree where rows agree, and estimate how alike they are."""

import random
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from loraflow.data.clean.fingerprints import (
    BANDS,
    PERMUTATIONS,
    FingerprintFiles,
    Fingerprints,
    bands,
    take_fingerprints,
)
from loraflow.data.records import Message, Record
from tests.data.sources import record, turn

SYSTEM: Message = {"role": "system", "content": "你是甄嬛。"}


def prints(*records: Record, ngram: int | None = None) -> Fingerprints:
    ids = [one.id for one in records]
    return take_fingerprints(records, ids, [""] * len(records), ngram=ngram)


def agree(one: Record, other: Record, name: str) -> bool:
    left, right = getattr(prints(one, other), name)
    return bool(left == right)


@pytest.mark.parametrize("name", ["content", "prompt", "answer", "numbers"])
def test_equal_rows_have_equal_digests(name: str) -> None:
    assert agree(record("第1问", "答"), record("第1问", "答"), name)


def test_prompt_ignores_case_space_and_punctuation_but_no_sign_of_arithmetic() -> None:
    assert agree(record("What is 2+2?", "4"), record("what  is 2 + 2", "four"), "prompt")
    assert not agree(record("What is 2+2?", "4"), record("What is 2-2?", "0"), "prompt")


def test_prompt_is_all_that_comes_before_the_answer() -> None:
    plain = record("q", "a")
    with_system = Record((SYSTEM, *turn("q", "a")))
    longer = Record((*turn("earlier", "answer"), *turn("q", "a")))
    digests = prints(plain, with_system, longer).prompt
    assert len(set(digests.tolist())) == 3


def test_prompt_of_raw_text_is_the_text() -> None:
    one, other = (Record(({"role": "assistant", "content": text},), kind="text") for text in "一二")
    assert not agree(one, other, "prompt")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (record("2+2", "4"), record("3+5", "8")),
        (record("每日3次", "好"), record("每日2次", "好")),
        (
            replace(record("q", "a"), kind="kto", label="true"),
            replace(record("q", "a"), kind="kto", label="false"),
        ),
    ],
)
def test_rows_that_differ_in_a_number_or_the_label_say_different_things(
    one: Record, other: Record
) -> None:
    assert not agree(one, other, "numbers")


def preferred(chosen: str, rejected: str) -> Record:
    return replace(record("天空是什么颜色？", chosen), kind="preference", rejected=rejected)


@pytest.mark.parametrize(("one", "other"), [("蓝色，晴天时。", "绿色。"), ("蓝色。", "绿色。")])
def test_preferences_of_the_same_answers_the_other_way_round_differ(one: str, other: str) -> None:
    assert not agree(preferred(one, other), preferred(other, one), "numbers")


def test_preferences_that_differ_in_a_few_words_agree() -> None:
    one = preferred("蓝色，因为空气散射蓝光。", "绿色。")
    assert agree(one, preferred("蓝色，因为大气散射蓝光。", "绿色的。"), "numbers")


def test_signature_is_taken_only_where_it_is_asked_for() -> None:
    assert prints(record("q", "a")).signature.shape == (1, 0)
    assert prints(record("q", "a"), ngram=5).signature.shape == (1, PERMUTATIONS)
    assert prints(ngram=5).signature.shape == (0, 0)


def overlapping(chance: random.Random, share: float) -> tuple[Record, Record, float]:
    """Return two rows of 200 words each, and the Jaccard similarity of their words."""
    common = round(200 * share)
    vocabulary = [f"word{number}" for number in range(10_000)]
    drawn = chance.sample(vocabulary, 400 - common)
    one, other = drawn[:200], drawn[:common] + drawn[200:]
    similarity = len({*one} & {*other}) / len({*one} | {*other})
    return record("", " ".join(one)), record("", " ".join(other)), similarity


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_estimate_is_within_four_standard_errors_of_the_similarity(
    tmp_path: Path, share: float
) -> None:
    one, other, true = overlapping(random.Random(7), share)
    estimate = similarity(tmp_path, [one, other])
    assert abs(estimate - true) <= 4 * sqrt(true * (1 - true) / PERMUTATIONS)


def similarity(folder: Path, records: list[Record]) -> float:
    files = FingerprintFiles(folder)
    files.add(prints(*records, ngram=1))
    files.finish()
    return float(files.similarity(np.array([0]), np.array([1]))[0])


@pytest.mark.parametrize("share", [0.7, 0.8, 0.9])
def test_similar_rows_share_a_band_as_often_as_lsh_promises(share: float) -> None:
    chance = random.Random(3)
    pairs = [overlapping(chance, share) for _ in range(200)]
    true = pairs[0][2]
    records = [one for pair in pairs for one in pair[:2]]
    found = bands(prints(*records, ngram=1).signature)
    shared = np.mean((found[0::2] == found[1::2]).any(axis=1))
    promised = 1 - (1 - true ** (PERMUTATIONS // BANDS)) ** BANDS
    assert abs(shared - promised) <= 4 * sqrt(promised * (1 - promised) / len(pairs)) + 0.01


def test_files_give_back_what_was_added_in_order(tmp_path: Path) -> None:
    records = [record(f"第{number}问", f"回答 {number}") for number in range(5)]
    files = FingerprintFiles(tmp_path)
    files.add(prints(*records[:2], ngram=3))
    files.add(prints(ngram=3))  # a piece of which nothing was kept
    files.add(prints(*records[2:], ngram=3))
    digests = files.finish()
    whole = prints(*records, ngram=3)
    assert {name: column.tolist() for name, column in digests.items()} == {
        name: getattr(whole, name).tolist() for name in digests
    }
    assert [files.band(number).tolist() for number in range(BANDS)] == bands(
        whole.signature
    ).T.tolist()


def test_files_without_rows_are_empty(tmp_path: Path) -> None:
    files = FingerprintFiles(tmp_path)
    assert all(column.size == 0 for column in files.finish().values())
    assert files.band(0).size == 0
    none = np.empty(0, np.int64)
    assert files.similarity(none, none).size == 0
