"""The eight prompts hold what is judged, word for word, in FastChat's shape."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraflow.errors import UserError
from loraflow.evaluate.judge.base import Exchange, Game
from loraflow.evaluate.judge.prompts import OWN, load_prompts, prompt_name

ONE = Exchange("1", ("q",), ("a",))
TWO = Exchange("2", ("q", "r"), ("a", "b"))
GAME = Game("3", ("q",), ("a",), ("b",))
LONG_GAME = Game("4", ("q", "r"), ("a", "b"), ("c", "d"))
REFERENCES = ("right", "true")


def with_references(judged: Exchange | Game) -> Exchange | Game:
    references = REFERENCES[: len(judged.questions)]
    if isinstance(judged, Game):
        return Game(judged.id, judged.questions, judged.answers_a, judged.answers_b, references)
    return Exchange(judged.id, judged.questions, judged.answers, references)


@pytest.mark.parametrize(
    ("judged", "name"),
    [
        (ONE, "single-v1"),
        (TWO, "single-v1-multi-turn"),
        (with_references(ONE), "single-math-v1"),
        (with_references(TWO), "single-math-v1-multi-turn"),
        (GAME, "pair-v2"),
        (LONG_GAME, "pair-v2-multi-turn"),
        (with_references(GAME), "pair-math-v1"),
        (with_references(LONG_GAME), "pair-math-v1-multi-turn"),
    ],
)
def test_role_has_its_prompt(judged: Exchange | Game, name: str) -> None:
    assert prompt_name(judged) == name
    system, user = load_prompts(None)[name].render(judged)
    assert "{" not in user
    for text in (*judged.questions, *judged.references):
        assert f"\n{text}\n" in user or f": {text}\n" in user
    instruction = user if name in ("single-v1", "single-math-v1") else system
    assert ("[[C]]" if isinstance(judged, Game) else "Rating: [[5]]") in instruction
    assert "language of the question" in instruction
    assert ("second" in instruction) == (len(judged.questions) == 2)


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_text_is_shown_as_it_is(question: str, answer: str) -> None:
    prompt = load_prompts(None)["single-v1"]
    _, user = prompt.render(Exchange("1", (question,), (answer,)))
    head, middle, tail = (
        prompt.prompt_template.replace("{question}", "\0").replace("{answer}", "\0").split("\0")
    )
    assert user == head + question + middle + answer + tail


def test_texts_with_placeholders_are_not_filled_in() -> None:
    _, user = load_prompts(None)["single-v1"].render(Exchange("1", ("{answer} {x}",), ("{0}}",)))
    assert "{answer} {x}" in user and "{0}}" in user


@pytest.mark.parametrize(
    ("judged", "match"),
    [
        (Exchange("7", ("q",) * 3, ("a",) * 3), "question 7 has 3 turns"),
        (Exchange("7", ("q",) * 2, ("a",) * 2, ("r",)), "2 turns and 1 references"),
    ],
)
def test_what_no_prompt_asks_about_is_refused(judged: Exchange, match: str) -> None:
    with pytest.raises(UserError, match=match):
        prompt_name(judged)


def rewritten(path: Path, **changes: str | None) -> Path:
    """Write the project's prompts with another single-v1; None leaves the field out."""
    rows = [json.loads(line) for line in OWN.read_text(encoding="utf-8").splitlines()]
    rows[0] = {key: value for key, value in (rows[0] | changes).items() if value is not None}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_own_file_of_this_shape_is_read(tmp_path: Path) -> None:
    template = "Use {{braces}}. {question} {answer}"
    prompts = load_prompts(rewritten(tmp_path / "prompts.jsonl", prompt_template=template))
    assert prompts["single-v1"].render(ONE)[1] == "Use {braces}. q a"


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    text = OWN.read_text(encoding="utf-8")
    path.write_text(text.replace("{question}", "\u2028{question}\x85"), encoding="utf-8")
    assert "\u2028q\x85" in load_prompts(path)["single-v1"].render(ONE)[1]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": "other"}, "single-v1 is missing"),
        ({"prompt_template": "{question} {ref_answer_1}"}, r"lacks {answer}, holds an unknown {re"),
        ({"output_format": "[[A]]"}, "single-v1 has output_format"),
        ({"system_prompt": None}, r"jsonl:1 is no JSON object with .*system_prompt"),
    ],
)
def test_faulty_file_is_refused(tmp_path: Path, changes: dict[str, str | None], match: str) -> None:
    path = rewritten(tmp_path / "prompts.jsonl", **changes)
    with pytest.raises(UserError, match=f"judge.prompts=.*{match}"):
        load_prompts(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"judge\.prompts=.*is no file"):
        load_prompts(tmp_path / "none.jsonl")
