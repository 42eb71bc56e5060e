"""Turns of every kind become messages: nothing said is lost, and nothing unknown is guessed."""

import json
from typing import Any

import pytest

from loraflow.data.read.conversations import from_messages, from_sharegpt, read_turns
from loraflow.data.read.fields import Unfit
from loraflow.data.records import Message

USER = {"role": "user", "content": "北京天气怎么样？"}
HUMAN = {"from": "human", "value": "北京天气怎么样？"}
GPT = {"from": "gpt", "value": "晴。"}
ANSWER = {"role": "assistant", "content": "晴。"}


def roles(messages: tuple[Message, ...]) -> list[str]:
    return [message["role"] for message in messages]


def test_sharegpt_with_tools_keeps_every_turn() -> None:
    call = '{"name": "weather", "arguments": {"city": "北京"}}'
    record = from_sharegpt(
        {
            "conversations": [
                HUMAN,
                {"from": "function_call", "value": call},
                {"from": "observation", "value": '{"sky": "晴"}'},
                GPT,
            ],
            "system": "你是助手。",
            "tools": '[{"name": "weather"}]',
        }
    )
    assert record.messages == (
        {"role": "system", "content": '你是助手。\n\nTools:\n[{"name": "weather"}]'},
        USER,
        {"role": "assistant", "content": call},
        {"role": "tool", "content": '{"sky": "晴"}'},
        ANSWER,
    )


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("human", "user"),
        ("Human", "user"),
        ("用户", "user"),
        ("gpt", "assistant"),
        ("chatgpt", "assistant"),
        ("bard", "assistant"),
        ("function_call", "assistant"),
        ("developer", "system"),
        ("observation", "tool"),
        ("function", "tool"),
    ],
)
def test_role_goes_by_many_names(name: str, role: str) -> None:
    assert read_turns([{"from": name, "value": "x"}]) == [{"role": role, "content": "x"}]


@pytest.mark.parametrize(
    ("row", "system"),
    [
        ({"system": "column"}, "column"),
        ({"system": "column", "turn": "turn"}, "turn"),
        ({"system": "column", "turn": ""}, "column"),
        ({"system_prompt": "column"}, "column"),
        ({"tools": [{"name": "天气"}]}, 'Tools:\n[{"name": "天气"}]'),
        ({"turn": "turn", "tools": [{"n": 1}]}, 'turn\n\nTools:\n[{"n": 1}]'),
        ({"system": "column", "tools": "[]"}, "column"),
        ({"system": "column", "tools": []}, "column"),
        ({"system": None, "tools": " "}, None),
        ({"turn": ""}, None),
    ],
)
def test_system_message_is_turn_or_column_and_tools(
    row: dict[str, Any], system: str | None
) -> None:
    opening = [{"from": "system", "value": row["turn"]}] if "turn" in row else []
    record = from_sharegpt({**row, "conversations": [*opening, HUMAN, GPT]})
    first = () if system is None else ({"role": "system", "content": system},)
    assert record.messages == (*first, USER, ANSWER)


@pytest.mark.parametrize(
    "pair", [{"human": "你好", "assistant": "您好"}, {"input": "你好", "output": "您好"}]
)
def test_pairs_of_question_and_answer_are_turns(pair: dict[str, str]) -> None:
    record = from_sharegpt({"conversation": [{**pair, "system": "礼貌"}, pair]})
    assert roles(record.messages) == ["system", "user", "assistant", "user", "assistant"]
    assert record.answer == "您好"


def test_trailing_question_stays() -> None:
    record = from_sharegpt({"conversations": [HUMAN, GPT, HUMAN]})
    assert roles(record.messages) == ["user", "assistant", "user"]
    record = from_sharegpt({"conversation": [{"human": "你好", "assistant": None}]})
    assert roles(record.messages) == ["user"]


def test_text_parts_are_joined_by_a_line_break() -> None:
    parts = [{"type": "text", "text": "你好", "image_url": None}, {"type": "text", "text": "吗？"}]
    record = from_messages({"messages": [{"role": "user", "content": parts}, ANSWER]})
    assert record.messages[0]["content"] == "你好\n吗？"


def test_tool_calls_stand_behind_the_text_a_line_each() -> None:
    calls = [
        {"type": "function", "function": {"name": "weather", "arguments": '{"city": "北京"}'}},
        {"name": "time", "arguments": {"zone": 8}},
        {"name": "note", "arguments": "no JSON"},
        {"name": "ping"},
    ]
    message = {"role": "assistant", "content": "我查一下。", "tool_calls": calls}
    text, *lines = read_turns([message])[0]["content"].split("\n")
    assert text == "我查一下。"
    assert lines[0] == '{"name": "weather", "arguments": {"city": "北京"}}'
    assert [json.loads(line)["arguments"] for line in lines[1:]] == [{"zone": 8}, "no JSON", {}]


@pytest.mark.parametrize("key", ["tool_calls", "function_call"])
def test_call_without_text_is_an_answer(key: str) -> None:
    call = {"name": "ping", "arguments": "{}"}
    message = {"role": "assistant", "content": None, key: [call] if key == "tool_calls" else call}
    assert read_turns([message])[0]["content"] == '{"name": "ping", "arguments": {}}'


def test_results_of_tools_in_a_row_become_one_message() -> None:
    results = [
        {"role": "tool", "content": text, "tool_call_id": text} for text in ("晴", "25", "北风")
    ]
    record = from_messages({"messages": [USER, ANSWER, *results, ANSWER, results[0], ANSWER]})
    assert roles(record.messages) == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert record.messages[2]["content"] == "晴\n25\n北风"


@pytest.mark.parametrize(
    "flag", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"training": 0}]
)
def test_answer_that_the_data_does_not_train_is_context(flag: dict[str, Any]) -> None:
    (message,) = read_turns([{**ANSWER, **flag}])
    assert message == {**ANSWER, "learn": False}


@pytest.mark.parametrize("flag", [{"weight": 1}, {"train": True}, {"weight": None}, {}])
def test_other_answers_are_learned(flag: dict[str, Any]) -> None:
    assert read_turns([{**ANSWER, **flag}]) == [ANSWER]


@pytest.mark.parametrize(
    ("turns", "needed"),
    [
        (None, "a list of messages"),
        ([], "a list of messages"),
        ("你好", "a list of messages"),
        ({"role": "user", "content": "x"}, "a list of messages"),
        (["你好"], "a list of messages"),
        ([{"value": "x"}], "a list of messages"),
        ([{"from": "narrator", "value": "x"}], "one of the roles"),
        ([{"from": ["gpt"], "value": "x"}], "one of the roles"),
        ([{"from": "gpt"}], "text in every message"),
        ([{"from": "gpt", "value": 3}], "text in every message"),
        ([{"role": "assistant", "content": None, "tool_calls": []}], "text in every message"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "parts are all of type text"),
        ([{"role": "user", "content": [{"type": "text"}]}], "text in text"),
        ([{"role": "assistant", "content": "", "tool_calls": ["x"]}], "in every tool call"),
        ([{"role": "assistant", "content": "", "tool_calls": {"name": "x"}}], "a list in"),
        ([{"role": "assistant", "content": "", "tool_calls": [{"arguments": 1}]}], "text in name"),
    ],
)
def test_turns_that_are_none_say_what_is_needed(turns: Any, needed: str) -> None:
    with pytest.raises(Unfit, match=needed):
        read_turns(turns)


@pytest.mark.parametrize("row", [{"tools": 3}, {"system": ["你好"]}])
def test_column_beside_the_turns_has_to_be_text(row: dict[str, Any]) -> None:
    with pytest.raises(Unfit, match=f"text in {next(iter(row))}"):
        from_sharegpt({**row, "conversations": [HUMAN, GPT]})


def test_nothing_but_an_empty_system_turn_is_no_conversation() -> None:
    with pytest.raises(Unfit, match="not empty"):
        from_sharegpt({"conversations": [{"from": "system", "value": ""}]})
