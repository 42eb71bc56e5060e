"""Drift is found where data moved, and not where only chance did."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from loraflow.data.records import Record
from loraflow.data.tables import RECORDS, Row, TableWriter
from loraflow.errors import UserError
from loraflow.promote.drift.measure import FLOOR, Drift, measure_drift, psi
from loraflow.promote.drift.report import as_markdown, drift_picture

ENGLISH = (
    "Return the sum of all items in the list, or zero when the list is empty.",
    "The weather is mild in spring, and most people like to walk beside the river then.",
    "Open the file first, then read each line and write the result to the other file.",
)
CHINESE = (
    "今天的天气很好，我们一起去公园散步，然后回家吃晚饭。",
    "返回列表中所有元素的总和；如果列表为空，就返回零。",
    "请先打开文件，逐行读取内容，再把结果写到另一个文件里。",
)


def write(path: Path, answers: Sequence[str], *, source: str = "chats.jsonl") -> Path:
    with TableWriter.writing(path, RECORDS) as table:
        table.add([_row(answer, source, line) for line, answer in enumerate(answers, 1)])
    return path


def _row(answer: str, source: str, line: int) -> dict[str, object]:
    question = {"role": "user", "content": "Which of these is meant here, and why is that so?"}
    record = Record((question, {"role": "assistant", "content": answer}))
    return Row(record, source, line, record.id).as_columns()


def sample(count: int, *, chinese: float = 0.1, seed: int = 0, repeat: float = 1.0) -> list[str]:
    generator = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        pool = CHINESE if generator.random() < chinese else ENGLISH
        times = 1 + generator.poisson(repeat)
        texts.append(" ".join(pool[place] for place in generator.integers(0, len(pool), times)))
    return texts


def drift_of(
    tmp_path: Path,
    before: Sequence[str],
    now: Sequence[str],
    sources: tuple[str, str] = ("chats.jsonl", "chats.jsonl"),
) -> Drift:
    first = write(tmp_path / "before.parquet", before, source=sources[0])
    second = write(tmp_path / "now.parquet", now, source=sources[1])
    return measure_drift(first, second, max_psi=0.2)


def test_index_is_that_of_a_sum_by_hand() -> None:
    found = float(psi(np.array([50.0, 50.0]), np.array([80.0, 20.0])))
    assert found == pytest.approx(0.3 * math.log(1.6) + 0.3 * math.log(2.5))


def test_an_empty_bin_counts_as_the_floor() -> None:
    found = float(psi(np.array([100.0, 0.0]), np.array([90.0, 10.0])))
    assert found == pytest.approx(0.1 * math.log(1 / 0.9) + (0.1 - FLOOR) * math.log(0.1 / FLOOR))


def test_the_same_rows_have_not_drifted(tmp_path: Path) -> None:
    drift = drift_of(tmp_path, sample(200), sample(200))
    assert drift.drifted == []
    assert set(drift.values.values()) == {0.0}


@pytest.mark.parametrize("rows", [12, 40, 300])
def test_chance_is_not_called_drift(tmp_path: Path, rows: int) -> None:
    """Few rows have an index far above the bound by chance; one night in a hundred may be named."""
    nights = [drift_of(tmp_path, sample(300), sample(rows, seed=seed)) for seed in range(1, 6)]
    assert sum(bool(night.drifted) for night in nights) <= 1
    assert max(value for night in nights for value in night.values.values()) > 0.05


def test_chance_is_what_theory_says_for_rows_that_are_independent(tmp_path: Path) -> None:
    """(bins - 1) * (1/n + 1/m), Yurdakul 2018; two bins at either end are empty by chance."""
    drift = drift_of(tmp_path, sample(400), sample(400, seed=1))
    language = next(one for one in drift.features if one.name == "answer_language")
    assert language.expected == pytest.approx((len(language.bins) - 1) * 2 / 400, rel=0.3)
    assert language.noise > language.expected


def test_another_language_is_drift_and_is_said_in_words(tmp_path: Path) -> None:
    drift = drift_of(tmp_path, sample(300), sample(300, chinese=0.6, seed=1))
    found = {one.name: one for one in drift.drifted}
    assert {"answer_language", "vocabulary"} <= set(found)
    assert "question_language" not in found
    movers = " ".join(found["answer_language"].movers)
    assert "Chinese answers: " in movers
    assert "English answers: " in movers
    assert "Chinese answers" in drift.sentence


def test_longer_answers_are_drift(tmp_path: Path) -> None:
    drift = drift_of(tmp_path, sample(300), sample(300, repeat=8, seed=1))
    found = {one.name: one for one in drift.drifted}
    assert "answer_characters" in found
    assert found["answer_characters"].movers[0].startswith("median answer: ")


def test_shorter_than_all_of_a_constant_is_drift(tmp_path: Path) -> None:
    """Where all of the reference is of one length there is a bin on either side of it."""
    drift = drift_of(tmp_path, ["abcd"] * 50, ["ab"] * 50)
    assert "answer_characters" in {one.name for one in drift.drifted}


def test_a_new_word_is_drift_of_the_vocabulary(tmp_path: Path) -> None:
    spoiled = [f"{text} 中奖 中奖 中奖 中奖" for text in sample(200)]
    drift = drift_of(tmp_path, sample(200), spoiled)
    found = {one.name: one for one in drift.drifted}
    assert {"“中”", "“奖”"} <= {word.split(" ")[0] for word in found["vocabulary"].movers}


def test_sources_that_differ_in_digits_are_of_one_kind(tmp_path: Path) -> None:
    """Each night has its file."""
    nights = ("chats-2026-11-25.jsonl", "chats-2026-11-26.jsonl")
    assert drift_of(tmp_path, sample(50), sample(50), nights).values["sources"] == 0
    other = drift_of(tmp_path, sample(50), sample(50), ("chats.jsonl", "forum.jsonl"))
    assert "rows of forum.jsonl: 0% → 100%" in other.drifted[0].movers


def test_other_kinds_of_rows_are_measured(tmp_path: Path) -> None:
    """Raw text has no question, a class is an answer."""
    text = Record(({"role": "assistant", "content": ENGLISH[0]},), kind="text")
    label = Record(
        ({"role": "user", "content": CHINESE[0]}, {"role": "assistant", "content": "好"}),
        kind="classify",
        label="好",
    )
    paths = []
    for name, record in (("before", text), ("now", label)):
        paths.append(tmp_path / f"{name}.parquet")
        with TableWriter.writing(paths[-1], RECORDS) as table:
            table.add([Row(record, "a", n, record.id).as_columns() for n in range(30)])
    drifted = {one.name for one in measure_drift(paths[0], paths[1], max_psi=0.2).drifted}
    assert {"question_characters", "question_language", "answer_characters"} <= drifted


def test_no_rows_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"now\.parquet has no rows"):
        drift_of(tmp_path, sample(5), [])


def test_one_row_is_measured(tmp_path: Path) -> None:
    assert drift_of(tmp_path, sample(1), sample(1)).drifted == []


def test_the_same_files_give_the_same_drift(tmp_path: Path) -> None:
    first, second = (drift_of(tmp_path, sample(80), sample(80, seed=3)) for _ in range(2))
    assert first == second
    assert json.loads(json.dumps(first.as_dict()))["max_psi"] == 0.2


def test_markdown_and_picture_show_what_moved(tmp_path: Path) -> None:
    moved = sample(200, chinese=0.6, seed=1)
    drift = drift_of(tmp_path, sample(200), moved, ("chats.jsonl", "<b>|x.jsonl"))
    text = as_markdown(drift)
    assert "| language of answers |" in text
    assert "**drifted**" in text
    assert "Chinese answers: " in text
    assert "<b>" not in text
    assert drift_picture(drift).startswith(b"\x89PNG")
