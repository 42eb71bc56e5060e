"""Turns lists of turns into messages: ShareGPT, OpenAI and pairs of question and answer.

Text parts of a message are joined by a line break; a part that is no text makes the row unfit.
Tool calls stand behind the text of the assistant, one JSON object a line, as they have to be
learned: {"name": "weather", "arguments": {"city": "北京"}}. Results of tools that follow each other
become one tool message. Descriptions of tools stand at the end of the system message: an empty
line, a line "Tools:", and then the JSON.
"""

import json
from itertools import groupby
from typing import Any

from loraflow.data.read.fields import (
    Item,
    Unfit,
    first_present,
    optional_text,
    read_system,
    required_text,
    write_json,
)
from loraflow.data.records import Message, Record

_TURNS = "a list of messages, each with role and content or from and value"
_NAMES = {
    "system": "system developer 系统",
    "user": "user human prompter 用户",
    "assistant": "assistant gpt chatgpt bing bard chatbot bot model function_call tool_call 助手",
    "tool": "tool observation function function_response tool_response tool_result ipython",
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}
_PAIRS = (("human", "assistant"), ("input", "output"))  # ms-swift and XTuner
_FLAGS = ("weight", "train", "training")  # OpenAI and axolotl: 0 or false is only context


def from_sharegpt(item: Item) -> Record:
    """Convert the turns in conversations (or conversation); system and tools beside them."""
    turns = first_present(item, "conversations", "conversation")
    return Record(with_system(item, read_turns(turns)))


def from_messages(item: Item) -> Record:
    """Convert messages as OpenAI has them; system and tools beside them."""
    return Record(with_system(item, read_turns(first_present(item, "messages"))))


def with_system(item: Item, messages: list[Message]) -> tuple[Message, ...]:
    """Put what the columns `system` and `tools` say first; a system message there wins."""
    system = read_system(item)
    if messages[0]["role"] == "system":
        system = messages[0]["content"] or system
        messages = messages[1:]
    text = "\n\n".join(filter(None, (system, _describe_tools(item))))
    if text:
        messages = [{"role": "system", "content": text}, *messages]
    if not messages:
        raise Unfit("a message that is not empty")
    return tuple(messages)


def read_messages(item: Item, name: str, *, role: str) -> list[Message]:
    """Read a column that is a text, which `role` says, or a message, or a list of messages."""
    value = first_present(item, name)
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, dict | list):
        raise Unfit(f"text or messages in {name}")
    return read_turns([value] if isinstance(value, dict) else value)


def read_turns(turns: Any) -> list[Message]:
    """Read a list of turns; at least one message comes out.

    Raises:
        Unfit: if it is no such list, a role is unknown, or a message holds more than text.
    """
    if not isinstance(turns, list) or not turns:
        raise Unfit(_TURNS)
    messages = [message for turn in turns for message in _read_turn(turn)]
    if any(message["role"] == "tool" for message in messages):
        return _join_tool_results(messages)
    return messages


def _read_turn(turn: Any) -> list[Message]:
    if not isinstance(turn, dict):
        raise Unfit(_TURNS)
    name = first_present(turn, "role", "from")
    if name is None:
        return _read_pair(turn)
    role = _find_role(name)
    content = first_present(turn, "content", "value")
    if role != "assistant":
        return [{"role": role, "content": _read_content(content)}]
    calls = _read_calls(turn)
    text = "" if content is None and calls else _read_content(content)
    message = {"role": role, "content": "\n".join(filter(None, (text, *calls)))}
    if any(turn.get(flag) == 0 for flag in _FLAGS):
        return [{**message, "learn": False}]
    return [message]


def _find_role(name: Any) -> str:
    role = _ROLES.get(name) or _ROLES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        raise Unfit(f"one of the roles {', '.join(_ROLES)}")
    return role


def _read_content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Unfit("text in every message")
    return "\n".join(map(_read_part, content))


def _read_part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") != "text":
        raise Unfit("messages whose parts are all of type text")
    return required_text(part, "text")


def _read_pair(turn: Item) -> list[Message]:
    for asked, answered in _PAIRS:
        if first_present(turn, asked) is None:
            continue
        messages: list[Message] = [{"role": "user", "content": required_text(turn, asked)}]
        if first_present(turn, answered) is not None:
            messages.append({"role": "assistant", "content": required_text(turn, answered)})
        if system := optional_text(turn, "system"):
            messages.insert(0, {"role": "system", "content": system})
        return messages
    raise Unfit(_TURNS)


def _read_calls(turn: Item) -> list[str]:
    calls = first_present(turn, "tool_calls")
    if calls is None:
        single = first_present(turn, "function_call")
        calls = [] if single is None else [single]
    if not isinstance(calls, list):
        raise Unfit("a list in tool_calls")
    return list(map(_write_call, calls))


def _write_call(call: Any) -> str:
    if not isinstance(call, dict):
        raise Unfit("a name and arguments in every tool call")
    function = call.get("function")
    function = function if isinstance(function, dict) else call
    name = required_text(function, "name")
    arguments = first_present(function, "arguments")
    if isinstance(arguments, str):
        arguments = _parse_arguments(arguments)
    named = {"name": name, "arguments": {} if arguments is None else arguments}
    return write_json(named, where="tool_calls")


def _parse_arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        return text  # some models call tools with plain text


def _join_tool_results(messages: list[Message]) -> list[Message]:
    joined: list[Message] = []
    for are_results, group in groupby(messages, lambda message: message["role"] == "tool"):
        if not are_results:
            joined.extend(group)
            continue
        joined.append({"role": "tool", "content": "\n".join(part["content"] for part in group)})
    return joined


def _describe_tools(item: Item) -> str:
    tools = first_present(item, "tools")
    if tools is None or tools in ([], {}):
        return ""
    if isinstance(tools, list | dict):
        return f"Tools:\n{write_json(tools, where='tools')}"
    text = required_text(item, "tools").strip()
    return "" if text in ("", "[]") else f"Tools:\n{text}"
