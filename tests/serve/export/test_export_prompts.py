"""The adapter and its export are asked what the training asked, as far as it is known."""

from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.config import ExportCheckConfig
from loraflow.data.records import Message, Record
from loraflow.data.tables import RECORDS, Row, TableWriter
from loraflow.serve.export.prompts import choose_prompts
from loraflow.store import Store, make_key
from tests.serve.export.test_export_card import RUN

PERSONA: tuple[Message, ...] = (
    {"role": "system", "content": "你是甄嬛。"},
    {"role": "user", "content": "你好。"},
    {"role": "assistant", "content": "臣妾给皇上请安。", "learn": False},
    {"role": "user", "content": "你是谁？"},
    {"role": "assistant", "content": "家父是大理寺少卿。"},
)
CHECK = ExportCheckConfig(prompts=None, rows=2, max_new_tokens=4)
KEY = make_key("prepare", 1, data="persona")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """What the stage prepare left: a row that was evaluated, and one too long to be."""
    store = Store(tmp_path / "store")
    store.folder(KEY).mkdir(parents=True)
    rows = [Row(Record(PERSONA), "a.jsonl", line, name) for line, name in [(1, "long"), (2, "x")]]
    with TableWriter.writing(store.folder(KEY) / "held_out.parquet", RECORDS) as table:
        table.add([row.as_columns() for row in rows])
    return store


def test_what_came_before_a_question_in_training_comes_before_it_here(store: Store) -> None:
    run = replace(RUN, prepared={"key": KEY.digest}, questions={"x": "你是谁？"})
    (asked,), words = choose_prompts(CHECK, run, store)
    assert list(asked) == list(PERSONA[:-1])
    assert words == "1 held-out questions of the run"


def test_without_the_rows_it_is_said_that_questions_stand_alone(tmp_path: Path) -> None:
    run = replace(RUN, prepared={"key": KEY.digest}, questions={"x": "你是谁？", "y": "为何？"})
    asked, words = choose_prompts(CHECK, run, Store(tmp_path))
    assert asked == [[{"role": "user", "content": text}] for text in ("你是谁？", "为何？")]
    assert "2 held-out questions of the run (each alone" in words


def test_without_a_run_both_languages_are_asked(tmp_path: Path) -> None:
    (english, chinese), words = choose_prompts(CHECK, None, Store(tmp_path))
    assert english[0]["content"].isascii()
    assert not chinese[0]["content"].isascii()
    assert words == "2 questions of loraflow's bench"


def test_a_file_of_prompts_goes_before_all_others(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("你是谁？\nWho are you?\nWhy?\n", encoding="utf-8")
    check = replace(CHECK, prompts=tmp_path / "mine.txt")
    asked, words = choose_prompts(check, RUN, store)
    assert [prompt[-1]["content"] for prompt in asked] == ["你是谁？", "Who are you?"]
    assert words == "the first 2 prompts of mine.txt"
