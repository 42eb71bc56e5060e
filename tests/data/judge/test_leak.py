"""No training row gives away what the model is tested on, and common phrases harm nobody."""

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.config import LeakConfig
from loraflow.data.judge.leak import LeakCheck, Secret
from loraflow.errors import UserError
from tests.data.sources import file_data, on_any_machine, prepared, rows_of, write_rows

ENGLISH = (
    "The quick brown fox jumps over the lazy dog while seven wise owls watch from an old oak tree"
)
CHINESE = "家父是大理寺少卿甄远道，臣妾初入宫闱，凡事不敢妄言，只愿平安度日。"
MT_BENCH = [
    {"question_id": 81, "category": "writing", "turns": [f"Tell me: {ENGLISH}?", "And then?"]},
    {"question_id": 82, "category": "math", "turns": ["What is 2+2?", f"续写：{CHINESE}"]},
]


def row(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"instruction": question, "output": answer, **more}


PLAIN = [row(f"问题{letter}", f"回答{letter}") for letter in "甲乙丙丁"]
HELD_OUT = [row("The held-out question?", ENGLISH), row("另一个问题？", CHINESE)]


class Run:
    """A run of the stage with these training rows, of which the plain ones are extra."""

    def __init__(
        self,
        folder: Path,
        train: list[Any],
        *overrides: str,
        held_out: list[Any] = HELD_OUT,
    ) -> None:
        paths = [
            write_rows(folder / f"{name}.jsonl", rows)
            for name, rows in (("train", [*train, *PLAIN]), ("test", held_out))
        ]
        data = file_data(
            paths[0], "data/clean=none", f"data.split.held_out_path={paths[1]}", *overrides
        )
        self.summary = prepared(data, folder / "out")
        self.leak = self.summary["leak"]
        self.rejected = rows_of(folder / "out", "rejected")
        self.train_lines = [one["line"] for one in rows_of(folder / "out", "train")]

    @property
    def values(self) -> list[dict[str, str]]:
        return [json.loads(one["value"]) for one in self.rejected]


def test_row_with_a_held_out_prompt_is_removed_with_the_reason(tmp_path: Path) -> None:
    run = Run(tmp_path, [row("the HELD-OUT question", "another answer")])
    (rejected,) = run.rejected
    assert (rejected["line"], rejected["operator"]) == (1, "leak")
    assert rejected["original"] == json.dumps(row("the HELD-OUT question", "another answer"))
    (held_out, _) = rows_of(tmp_path / "out", "held_out")
    assert run.values == [
        {"found": f"held-out row {held_out['id']}", "how": "prompt", "text": "the same prompt"}
    ]
    assert run.train_lines == [2, 3, 4, 5]
    assert (run.leak["prompt"], run.leak["ngram_rows"]) == (1, 0)


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        (f"He said: {ENGLISH.upper()}!", "the quick brown fox"),
        (f"正文如下。{CHINESE}完。", "家父是大理寺"),
    ],
)
def test_text_inside_of_a_training_row_is_found(tmp_path: Path, text: str, shared: str) -> None:
    run = Run(tmp_path, [row("q", text), row(text, "a")])
    assert [value["how"] for value in run.values] == ["13-gram", "13-gram"]
    assert all(shared in value["text"] for value in run.values)
    assert (run.leak["prompt"], run.leak["ngram_rows"]) == (0, 2)


def test_part_of_a_text_is_a_leak_from_min_share_on(tmp_path: Path) -> None:
    words = ENGLISH.split()  # 18 of them: 6 n-grams of 13
    rows = [row("p", " ".join(words[:16])), row("q", " ".join(words[:17]))]
    assert [one["line"] for one in Run(tmp_path, rows).rejected] == [2]


def test_short_texts_are_compared_as_prompts_only(tmp_path: Path) -> None:
    held_out = [row("Short?", "Yes, of course.")]
    run = Run(tmp_path, [row("Why?", "Yes, of course."), row("Short?", "No")], held_out=held_out)
    assert [one["line"] for one in run.rejected] == [2]
    assert run.leak["answers_seen"] == 1


@pytest.mark.parametrize(("times", "leaks"), [(10, 10), (11, 0)])
def test_phrase_of_many_rows_is_no_leak(tmp_path: Path, times: int, leaks: int) -> None:
    rows = [row(f"{ENGLISH}: {letter}", letter) for letter in "abcdefghijk"[:times]]
    assert Run(tmp_path, rows).leak["ngram_rows"] == leaks


def test_system_prompt_of_all_rows_is_no_leak(tmp_path: Path) -> None:
    train = [row(letter, "answer", system=ENGLISH) for letter in "abc"]
    held_out = [row("x", "y", system=ENGLISH)]
    assert Run(tmp_path, train, held_out=held_out).rejected == []


def test_prompt_is_the_same_only_with_the_same_system_prompt(tmp_path: Path) -> None:
    train = [row("你是谁？", "甄嬛", system="你是甄嬛。"), row("你是谁？", "助手")]
    held_out = [row("你是谁", "嬛嬛", system="你是甄嬛")]
    assert [one["line"] for one in Run(tmp_path, train, held_out=held_out).rejected] == [1]


def test_questions_of_a_benchmark_are_found_in_either_turn(tmp_path: Path) -> None:
    benchmark = write_rows(tmp_path / "question.jsonl", MT_BENCH)
    rows = [row("what is 2+2", "4"), row("q", CHINESE), row("what is 2-2?", "0")]
    held_out = [row("x", "y")]
    run = Run(tmp_path, rows, f"data.leak.benchmarks=[{benchmark}]", held_out=held_out)
    assert [(value["found"], value["how"]) for value in run.values] == [
        ("question.jsonl question 2", "prompt"),
        ("question.jsonl question 2", "13-gram"),
    ]
    assert run.leak["benchmarks"] == [{"name": "question.jsonl", "questions": 2}]


@pytest.mark.parametrize("column", ["question", "instruction", "prompt"])
def test_benchmark_may_call_its_questions_otherwise(tmp_path: Path, column: str) -> None:
    benchmark = write_rows(tmp_path / "test.json", [{column: "你是谁？"}, {"other": 1}, 5])
    run = Run(tmp_path, [row("你是谁", "甄嬛")], f"data.leak.benchmarks=[{benchmark}]")
    assert [value["found"] for value in run.values] == ["test.json question 1"]
    assert run.leak["benchmarks"] == [{"name": "test.json", "questions": 1}]


def test_benchmark_without_a_question_is_an_error(tmp_path: Path) -> None:
    benchmark = write_rows(tmp_path / "question.jsonl", [{"text": "q"}, {"turns": []}])
    match = r"data\.leak\.benchmarks=.*question\.jsonl holds no question.*turns, question"
    with pytest.raises(UserError, match=match):
        Run(tmp_path, [], f"data.leak.benchmarks=[{benchmark}]")


LEAKING = [row("a question", "fine"), row("The held-out question?", "x"), row("q", CHINESE)]


def test_refusing_names_the_first_row_that_leaks(tmp_path: Path) -> None:
    match = (
        r"data\.leak\.action=refuse: 2 training rows .* train\.jsonl line 2 shares with held-out "
        r"row [0-9a-f]{16}: 'the same prompt'\. Set data\.leak\.action=remove"
    )
    with pytest.raises(UserError, match=match):
        Run(tmp_path, LEAKING, "data.leak.action=refuse")


def test_refusing_lets_clean_data_pass(tmp_path: Path) -> None:
    assert Run(tmp_path, [], "data.leak.action=refuse").leak["examples"] == []


def test_reporting_keeps_the_rows_and_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path, LEAKING, "data.leak.action=report")
    assert run.rejected == []
    assert len(run.train_lines) == 7
    assert (run.leak["prompt"], run.leak["ngram_rows"]) == (1, 1)
    assert [example["train"] for example in run.leak["examples"]] == [
        "train.jsonl line 2",
        "train.jsonl line 3",
    ]


def test_summary_counts_what_was_compared(tmp_path: Path) -> None:
    run = Run(tmp_path, LEAKING)
    examples = run.leak.pop("examples")
    assert run.leak == {
        "action": "remove",
        "checked_rows": 7,
        "held_out_rows": 2,
        "benchmarks": [],
        "ngram": 13,
        "min_share": 0.7,
        "prompt": 1,
        "ngram_rows": 1,
        "answers_seen": 0,  # the rows that had one were removed
    }
    assert [set(example) for example in examples] == [{"train", "found", "how", "text"}] * 2
    assert run.summary["funnel"][-1] == {
        "operator": "leak",
        "rows_in": 9,
        "edited": 0,
        "rejected": 2,
    }


def test_rows_that_one_split_makes_never_share_a_prompt(tmp_path: Path) -> None:
    rows = [row(f"q{number // 2}", f"a{number}") for number in range(20)]
    data = file_data(write_rows(tmp_path / "a.jsonl", rows), "data.split.held_out_rows=4")
    assert prepared(data, tmp_path / "out")["leak"]["prompt"] == 0


# ten different words: n-grams of five are shared now and then
phrases = st.lists(st.sampled_from("abcdefghij"), max_size=12).map(" ".join)


@on_any_machine
@given(st.lists(phrases, max_size=4), st.lists(phrases, max_size=6), st.sampled_from([0.3, 1.0]))
def test_leaks_are_those_of_comparing_all_texts(
    secrets: list[str], rows: list[str], share: float
) -> None:
    check = LeakCheck(
        LeakConfig("remove", ngram=5, min_share=share, max_occurrences=2, benchmarks=[]),
        [Secret(f"secret {number}", "", (), (text,)) for number, text in enumerate(secrets)],
    )
    for number, text in enumerate(rows):
        check.look_at(number, [text])
    grams = [set(grams_of(text)) for text in rows]
    common = {gram for trio in combinations(grams, 3) for gram in set.intersection(*trio)}
    expected = {
        number
        for number, found in enumerate(grams)
        for secret in secrets
        if (own := set(grams_of(secret)) - common)
        and (shared := own & found)
        and len(shared) >= share * len(own)
    }
    assert set(check.leaks()) == expected


def grams_of(text: str) -> Iterator[str]:
    words = text.split()
    for start in range(len(words) - 4):
        yield " ".join(words[start : start + 5])


@pytest.mark.parametrize("question", ["Why is the sky so blue?", "天空为什么是蓝色的？"])
def test_short_test_question_is_found_behind_a_system_prompt(tmp_path: Path, question: str) -> None:
    test = write_rows(tmp_path / "question.jsonl", [{"turns": [question]}])
    told = row(question.rstrip("?？"), "light", system="You are an expert.")
    run = Run(tmp_path, [told], f"data.leak.benchmarks=[{test}]")
    assert [value["how"] for value in run.values] == ["question"]
    assert run.train_lines == [2, 3, 4, 5]


def test_question_of_a_few_words_is_anybodys(tmp_path: Path) -> None:
    test = write_rows(tmp_path / "question.jsonl", [{"turns": ["Go on, please."]}])
    told = row("Go on, please.", "light", system="You are an expert.")
    assert not Run(tmp_path, [told], f"data.leak.benchmarks=[{test}]").rejected
