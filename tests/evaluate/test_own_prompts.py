"""Prompts of the user's own, in every shape, and what is wrong with those that are none."""

import json
from pathlib import Path

import pytest

from loraflow.errors import UserError
from loraflow.evaluate.prompts import answer_prompts, read_prompts
from loraflow.files import read_lines
from loraflow.model.source import BaseModel
from tests.evaluate.arms import make_arm


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_text_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "问题.txt", "\ufeff你是谁？\n\n  What is 2+2? \n")
    assert [row[-1]["content"] for row in read_prompts(path)] == ["你是谁？", "What is 2+2?"]


def test_json_lines_hold_texts_prompts_or_messages(tmp_path: Path) -> None:
    lines = [
        '"你是谁？"',
        '{"prompt": "Who?"}',
        '{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]}',
    ]
    found = read_prompts(write(tmp_path, "p.jsonl", "\n".join(lines)))
    assert [row[-1]["content"] for row in found] == ["你是谁？", "Who?", "U"]
    assert [len(row) for row in found] == [1, 1, 2]


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\f"])
def test_only_a_line_feed_ends_a_line(mark: str, tmp_path: Path) -> None:
    text = f"你是{mark}谁？"
    plain = write(tmp_path, "p.txt", f"{text}\r\nWho?")
    lines = write(tmp_path, "p.jsonl", f'{json.dumps(text, ensure_ascii=False)}\r\n"Who?"\r\n')
    for path in (plain, lines):
        assert [row[-1]["content"] for row in read_prompts(path)] == [text, "Who?"]


@pytest.mark.parametrize("line", ["{", "3", '{"prompt": " "}', '{"messages": []}'])
def test_a_line_that_is_no_prompt_is_named(line: str, tmp_path: Path) -> None:
    path = write(tmp_path, "p.jsonl", f'"good"\n{line}\n')
    with pytest.raises(UserError, match=r"^evaluate\.prompts=.*line 2 is no prompt"):
        read_prompts(path)


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^evaluate\.prompts=.*cannot be read"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(UserError, match="holds no prompt"):
        read_prompts(write(tmp_path, "empty.txt", "\n \n"))


def test_prompts_are_answered_in_order(tiny_base: BaseModel, tmp_path: Path) -> None:
    path = write(tmp_path, "p.txt", "你是谁？\nWho?\n")
    out = tmp_path / "out"
    out.mkdir()
    answer_prompts(make_arm(tiny_base, tmp_path / "work"), path, out=out)
    items = read_lines(out / "items.jsonl")
    assert [item["prompt"] for item in items] == ["你是谁？", "Who?"]
    assert all(isinstance(item["answer"], str) for item in items)
