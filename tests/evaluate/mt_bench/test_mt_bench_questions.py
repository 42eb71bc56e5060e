"""Questions load from FastChat's layout, and each bad line is named with its mend."""

import json
from pathlib import Path
from typing import Any

import pytest

from loraflow.errors import UserError
from loraflow.evaluate.mt_bench.questions import (
    CATEGORIES,
    Question,
    guided,
    judged_turns,
    load_questions,
    temperature,
)

WRITING = {"question_id": 81, "category": "writing", "turns": ["Write.", "Rewrite."]}
MATH = {"question_id": 111, "category": "math", "turns": ["1+1?", "+1?"], "reference": ["x", "y"]}


def reference(number: int, *turns: str) -> dict[str, Any]:
    choices = [{"index": 0, "turns": list(turns)}]
    return {
        "question_id": number,
        "answer_id": "TFomieEmmAgdeCkvmuvwbc",
        "model_id": "gpt-4",
        "choices": choices,
        "tstamp": 1686286924.8,
    }


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "question.jsonl", WRITING, MATH)
    write(tmp_path / "reference_answer" / "gpt-4.jsonl", reference(111, "2", "3"))
    return tmp_path


def test_fastchats_layout_loads_from_its_folder_and_from_its_file(folder: Path) -> None:
    expected = [
        Question(81, "writing", ("Write.", "Rewrite.")),
        Question(111, "math", ("1+1?", "+1?"), ("2", "3")),
    ]
    assert load_questions(str(folder), "gpt-4") == expected
    assert load_questions(str(folder / "question.jsonl"), "gpt-4") == expected


def test_the_judges_own_references_come_before_others(folder: Path) -> None:
    write(folder / "reference_answer" / "org--judge.jsonl", reference(111, "two", "three"))
    assert load_questions(str(folder), "org/judge")[1].references == ("two", "three")
    assert load_questions(str(folder), "gpt-4")[1].references == ("2", "3")
    with pytest.raises(UserError, match=r"gpt-4\.jsonl, org--judge\.jsonl.*other\.jsonl"):
        load_questions(str(folder), "other")


def test_the_only_references_serve_any_judge(folder: Path) -> None:
    assert load_questions(str(folder), "other")[1].references == ("2", "3")


def test_a_question_judged_with_a_reference_must_have_one_for_each_turn(folder: Path) -> None:
    write(folder / "reference_answer" / "gpt-4.jsonl", reference(111, "2"))
    with pytest.raises(UserError, match=r"evaluate\.mt_bench\.questions=.*math.*111"):
        load_questions(str(folder), "gpt-4")


def test_references_beyond_fastchats_categories_are_kept_and_not_shown(folder: Path) -> None:
    write(folder / "question.jsonl", {**WRITING, "category": "extraction"})
    write(folder / "reference_answer" / "gpt-4.jsonl", reference(81, "a", "b"))
    (question,) = load_questions(str(folder), "gpt-4")
    assert question.references == ("a", "b")
    assert not guided(question)


def test_only_questions_of_two_turns_are_judged_on_both() -> None:
    turns = [judged_turns(Question(1, "writing", ("q",) * count)) for count in (1, 2, 3)]
    assert turns == [(1,), (1, 2), (1,)]


def test_temperatures_are_fastchats() -> None:
    assert [temperature(name) for name in CATEGORIES] == [0.7, 0.7, 0, 0, 0, 0, 0.1, 0.1]
    assert temperature("arena-hard-200") == 0
    assert temperature("medicine") == 0.7


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('{"question_id": 1, "cat', " is not JSON .*correct or remove"),
        ("[" * 100_000, " is not JSON"),
        ("[1]", r" is \[1\]; write a JSON object on each line"),
        ('{"question_id": "1", "category": "x", "turns": ["q"]}', ": question_id='1' .*number"),
        ('{"question_id": true, "category": "x", "turns": ["q"]}', ": question_id=True"),
        ('{"question_id": 1, "turns": ["q"]}', ": category=None is not a text"),
        ('{"question_id": 1, "category": "x", "turns": "q"}', ": turns='q' is not a list"),
        ('{"question_id": 1, "category": "x", "turns": []}', r": turns=\[\]"),
        ('{"question_id": 1, "category": "x", "turns": ["q", " "]}', ": turns=.*none .* empty"),
        (json.dumps(WRITING), ": question_id=81 stands there twice"),
    ],
    ids=range(10),
)
def test_bad_lines_are_named(line: str, match: str, folder: Path) -> None:
    (folder / "question.jsonl").write_text(f"{json.dumps(WRITING)}\n{line}\n")
    where = r"evaluate\.mt_bench\.questions=.*question\.jsonl, line 2"
    with pytest.raises(UserError, match=where + match) as caught:
        load_questions(str(folder), "gpt-4")
    assert len(str(caught.value)) < 1000


def test_bad_references_are_named(folder: Path) -> None:
    write(folder / "reference_answer" / "gpt-4.jsonl", {"question_id": 111, "choices": []})
    with pytest.raises(UserError, match=r"gpt-4\.jsonl, line 1: choices=\[\]"):
        load_questions(str(folder), "gpt-4")


def test_files_that_are_not_there_or_empty_or_not_utf8_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"questions='/nowhere': .*en or zh"):
        load_questions("/nowhere", "gpt-4")
    file = tmp_path / "question.jsonl"
    file.write_text("\n \n")
    with pytest.raises(UserError, match="holds no question"):
        load_questions(str(tmp_path), "gpt-4")
    file.write_bytes('{"question_id": 1, "category": "写作"}'.encode("gbk"))
    with pytest.raises(UserError, match="save it as UTF-8"):
        load_questions(str(tmp_path), "gpt-4")


def test_files_from_windows_load(tmp_path: Path) -> None:
    text = json.dumps({**WRITING, "turns": ["一\u2028二", "三"]}, ensure_ascii=False)
    (tmp_path / "q.jsonl").write_bytes(f"\ufeff{text}\r\n\r\n".encode())
    (question,) = load_questions(str(tmp_path / "q.jsonl"), "gpt-4")
    assert question.turns == ("一\u2028二", "三")
