"""Answers in another language are set aside, where the language can be told."""

import socket
from time import perf_counter

import pytest
from hypothesis import given

from loraflow.data.operators.language import _KNOWN, Language, _detector, identify
from loraflow.data.records import Fault
from tests.data.operators import hostile_texts, on_any_machine, row, texts

KEEP = Language(["zh", "en"], 0.5, 20)
FRENCH = "Bonjour tout le monde, je voudrais apprendre à parler une autre langue."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("今天的天气很好，我们去公园散步吧。", "zh"),
        ("今天天氣很好，我們去公園散步吧。", "zh"),
        ("The weather is fine today, let us go for a walk.", "en"),
        ("今日は天気がいいので、公園を散歩しましょう。", "ja"),
        (FRENCH, "fr"),
        ("", "und"),
        ("123 + 456 = 579 \0 🙂", "und"),
    ],
)
def test_language_is_identified(text: str, language: str) -> None:
    assert identify(text)[0] == language


@on_any_machine
@given(texts)
def test_any_text_has_a_language_and_a_confidence(text: str) -> None:
    language, confidence = identify(text)
    assert language in _KNOWN | {"und"}
    assert 0 <= confidence <= 1
    record = row(text)
    found = KEEP(record)
    assert found is record or isinstance(found, Fault)


def test_model_comes_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    _detector.cache_clear()
    assert identify(FRENCH)[0] == "fr"


def test_all_languages_of_the_model_are_known() -> None:
    found = {
        candidate["lang"]
        for text in (FRENCH, "今天的天气很好", "Привет мир", "hello")
        for candidate in _detector().detect(text, model="lite", k=500)
    }
    assert len(found) > 150
    assert found - {"wuu", "yue"} <= _KNOWN


def test_other_language_is_named() -> None:
    found = KEEP(row(FRENCH))
    assert isinstance(found, Fault)
    assert found.value["language"] == "fr"
    assert found.value["confidence"] > 0.5


@pytest.mark.parametrize(
    "answer",
    [
        "Oui, merci.",
        f"```\n{FRENCH}\n```",
        f"Here it is, in French:\n```\n{FRENCH}",
        "这个函数可以计算两个数字的和：\n```python\ndef add(a, b):\n    return a + b\n```",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
    ],
)
def test_code_short_answers_and_wanted_languages_are_kept(answer: str) -> None:
    record = row(answer)
    assert KEEP(record) is record


def test_unsure_verdict_keeps_the_answer() -> None:
    record = row(FRENCH)
    assert Language(["zh"], 1.0, 0)(record) is record or identify(FRENCH)[1] == 1.0


def test_time_is_linear_in_the_length_of_a_hostile_text() -> None:
    for text in hostile_texts:
        start = perf_counter()
        KEEP(row(text))
        assert perf_counter() - start < 5, text[:20]  # quadratic: minutes
