"""One question and one answer become a record, whatever their columns are called."""

from collections.abc import Callable
from typing import Any

import pytest

from loraflow.data.read.fields import Unfit
from loraflow.data.read.questions import (
    from_alpaca,
    from_classify,
    from_firefly,
    from_openorca,
    from_prompt_completion,
    from_question_answer,
    from_text,
    split_transcript,
)
from loraflow.data.records import Message, Record

Convert = Callable[[dict[str, Any]], Record]
ROW = {"instruction": "你是谁？", "output": "家父是大理寺少卿甄远道。"}


def turn(question: str, answer: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": question}, {"role": "assistant", "content": answer})


def system(text: str) -> Message:
    return {"role": "system", "content": text}


@pytest.mark.parametrize(
    ("convert", "row", "messages"),
    [
        (from_alpaca, ROW, turn("你是谁？", "家父是大理寺少卿甄远道。")),
        (from_alpaca, {**ROW, "input": "", "output": "嬛"}, turn("你是谁？", "嬛")),
        (
            from_alpaca,
            {"instruction": "Add", "input": "1, 2", "output": "3"},
            turn("Add\n1, 2", "3"),
        ),
        (from_alpaca, {"instruction": "", "input": "1 + 2", "output": "3"}, turn("1 + 2", "3")),
        (from_alpaca, {"input": "1 + 2", "output": "3"}, turn("1 + 2", "3")),
        (from_alpaca, {"instruction": "", "output": ""}, turn("", "")),
        (
            from_alpaca,
            {"instruction": "When?", "context": "In 1898.", "response": "1898", "category": "qa"},
            turn("When?\nIn 1898.", "1898"),
        ),
        (
            from_alpaca,
            {
                **ROW,
                "output": "嬛",
                "system": "你是甄嬛。",
                "history": [["早", "早安"], ("冷吗", "不冷")],
            },
            (
                system("你是甄嬛。"),
                *turn("早", "早安"),
                *turn("冷吗", "不冷"),
                *turn("你是谁？", "嬛"),
            ),
        ),
        (
            from_prompt_completion,
            {"prompt": "The sky is", "completion": " blue."},
            turn("The sky is", " blue."),
        ),
        (from_prompt_completion, {"prompt": "q", "response": "a"}, turn("q", "a")),
        (
            from_prompt_completion,
            {"prompt": list(turn("q", "a")) + list(turn("r", ""))[:1], "completion": "b"},
            (*turn("q", "a"), *turn("r", "b")),
        ),
        (
            from_prompt_completion,
            {"prompt": "q", "completion": list(turn("", "a"))[1:], "system": "s"},
            (system("s"), *turn("q", "a")),
        ),
        (from_question_answer, {"question": "2 + 2?", "answer": "4"}, turn("2 + 2?", "4")),
        (
            from_question_answer,
            {"query": "你好", "response": "您好", "system": "礼貌", "history": [["早", "早安"]]},
            (system("礼貌"), *turn("早", "早安"), *turn("你好", "您好")),
        ),
        (
            from_question_answer,
            {"question": "何时？", "context": "建于 1898 年。", "answer": "1898 年"},
            turn("建于 1898 年。\n何时？", "1898 年"),
        ),
        (
            from_openorca,
            {"id": "n", "system_prompt": "Be brief.", "question": "Why?", "response": "So."},
            (system("Be brief."), *turn("Why?", "So.")),
        ),
        (
            from_openorca,
            {"system_prompt": "", "question": "Why?", "response": "So."},
            turn("Why?", "So."),
        ),
        (
            from_firefly,
            {"kind": "Couplet", "input": "春风", "target": "夏雨"},
            turn("春风", "夏雨"),
        ),
    ],
)
def test_row_becomes_turns(
    convert: Convert, row: dict[str, Any], messages: tuple[Message, ...]
) -> None:
    assert convert(row) == Record(messages)


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_missing_optional_columns_are_as_none(missing: Any) -> None:
    assert from_alpaca({**ROW, "input": missing, "system": missing}) == from_alpaca(ROW)
    assert from_alpaca({**ROW, "history": None}) == from_alpaca({**ROW, "history": float("nan")})


@pytest.mark.parametrize(
    ("convert", "row", "needed"),
    [
        (from_alpaca, {}, "output"),
        (from_alpaca, {"instruction": "q"}, "output"),
        (from_alpaca, {"output": "a"}, "instruction or input"),
        (from_alpaca, {"instruction": None, "output": "a"}, "instruction or input"),
        (from_alpaca, {"instruction": 5, "output": "a"}, "text in instruction"),
        (from_alpaca, {"instruction": "q", "output": ["a"]}, "output"),
        (from_alpaca, {"instruction": "q", "output": 0}, "output"),
        (from_alpaca, {"instruction": "q", "output": float("nan")}, "output"),
        (from_alpaca, {"instruction": "q", "input": 0, "output": "a"}, "text in input"),
        (from_alpaca, {**ROW, "system": ["s"]}, "system"),
        (from_alpaca, {**ROW, "history": "earlier"}, "history"),
        (from_alpaca, {**ROW, "history": [["question alone"]]}, "history"),
        (from_alpaca, {**ROW, "history": [["q", None]]}, "history"),
        (from_alpaca, {**ROW, "history": ["qa"]}, "history"),
        (from_alpaca, {**ROW, "history": {"q": "a"}}, "history"),
        (from_prompt_completion, {"prompt": "q"}, "text or messages in response"),
        (from_prompt_completion, {"completion": "a"}, "prompt"),
        (from_prompt_completion, {"prompt": 3, "completion": "a"}, "prompt"),
        (from_question_answer, {"answer": "a"}, "question"),
        (from_question_answer, {"question": "q", "answer": 4}, "answer"),
        (from_question_answer, {"question": "q", "answer": "a", "context": ["c"]}, "context"),
        (from_openorca, {"question": "q", "response": "a"}, "system_prompt"),
        (from_firefly, {"input": "q"}, "target"),
        (from_text, {"text": None}, "text"),
        (from_classify, {"text": "q"}, "label"),
        (from_classify, {"text": "q", "label": 0.5}, "label"),
        (from_classify, {"text": "q", "label": float("inf")}, "label"),
        (from_classify, {"text": "q", "label": 10**5000}, "label"),
        (from_classify, {"text": "q", "label": ["a"]}, "label"),
    ],
)
def test_row_of_another_shape_says_what_is_needed(
    convert: Convert, row: dict[str, Any], needed: str
) -> None:
    with pytest.raises(Unfit, match=needed):
        convert(row)


def test_raw_text_is_an_answer_alone() -> None:
    record = from_text({"text": "话说天下大势，分久必合。"})
    assert record == Record(({"role": "assistant", "content": "话说天下大势，分久必合。"},), "text")


@pytest.mark.parametrize(
    ("label", "text"),
    [("好评", "好评"), (" pos ", "pos"), (3, "3"), (3.0, "3"), (True, "true"), (False, "false")],
)
def test_class_is_the_answer(label: Any, text: str) -> None:
    assert from_classify({"text": "好吃", "label": label}) == Record(
        turn("好吃", text), "classify", label=text
    )


BELLE = (
    "Human:你好，能帮我吗？ \nAssistant:当然可以。\n1. 写作\n2. 翻译\nHuman: 写一首诗\nAssistant:"
)


@pytest.mark.parametrize("instruction", [BELLE, BELLE.removesuffix("\nAssistant:")])
def test_transcript_of_belle_becomes_turns(instruction: str) -> None:
    record = from_alpaca({"instruction": instruction, "input": "", "output": "春眠不觉晓"})
    assert record.messages == (
        *turn("你好，能帮我吗？", "当然可以。\n1. 写作\n2. 翻译"),
        *turn("写一首诗", "春眠不觉晓"),
    )


def test_transcript_may_hold_a_single_question() -> None:
    record = from_prompt_completion({"prompt": "\n\nHuman: hi\n\nAssistant:", "completion": " hey"})
    assert record.messages == turn("hi", " hey")


@pytest.mark.parametrize(
    "text",
    [
        "Human: a quotation",
        "Translate: Human: hi\nAssistant: hello",
        "Humans: we\nAssistant:",
        "Human: one\nHuman: two\nAssistant:",
        "Human: \nAssistant: first words",
        "Human: hi\nAssistant:\nHuman: still there?",
        "Human: it says Assistant: in the line",
        "Assistant: hi\nHuman: hello",
    ],
)
def test_text_that_is_not_clearly_a_transcript_stays(text: str) -> None:
    assert split_transcript(text) is None
    assert from_alpaca({"instruction": text, "output": "a"}).messages == turn(text, "a")


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": BELLE, "input": "more", "output": "a"},
        {"instruction": "Human: hi\nAssistant: all said", "output": "a"},
    ],
)
def test_transcript_with_something_behind_it_stays_text(row: dict[str, str]) -> None:
    assert len(from_alpaca(row).messages) == 2
