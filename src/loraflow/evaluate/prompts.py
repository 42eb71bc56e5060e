"""Stage: answers to prompts of the user's own, to be read side by side."""

import json
from pathlib import Path
from typing import Any

from loraflow.data.records import Message
from loraflow.errors import UserError
from loraflow.evaluate.arm import Arm
from loraflow.evaluate.generate.prompt import Prompt
from loraflow.files import ITEMS, write_lines

KEY = "evaluate.prompts"


def answer_prompts(arm: Arm, path: Path, *, out: Path) -> dict[str, Any]:
    """Write items.jsonl, a prompt and its answer a line, to `out`; return counts."""
    conversations = read_prompts(path)
    tokenizer = arm.tokenizer()
    prompts = [
        Prompt(str(number), arm.ask(tokenizer, messages), arm.settings.max_new_tokens)
        for number, messages in enumerate(conversations)
    ]
    with arm.model() as model:
        answers, _ = arm.answer(model, prompts)
    items = [
        {"id": str(number), "prompt": messages[-1]["content"], "answer": answer.text}
        for number, (messages, answer) in enumerate(zip(conversations, answers, strict=True))
    ]
    return {"counts": {"items": write_lines(out / ITEMS, items)}, "metrics": {}}


def read_prompts(path: Path, key: str = KEY) -> list[list[Message]]:
    """Read prompts: a .txt with one a line, or a .jsonl of texts, {"prompt"}, or {"messages"}.

    `key` of the config names the file.

    Raises:
        UserError: for a file that cannot be read, or a line that is no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # U+2028 may stand in JSON
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{key}={path} cannot be read: {error}; give a UTF-8 text file") from error
    plain = path.suffix != ".jsonl"
    found = [
        [_user(line)] if plain else _conversation(f"{key}={path} line {number}", line)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not found:
        raise UserError(f"{key}={path} holds no prompt; write one a line")
    return found


def _conversation(where: str, line: str) -> list[Message]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    match value:
        case str(text) | {"prompt": str(text)} if text.strip():
            return [_user(text)]
        case {"messages": [*_, {"role": "user", "content": str()}]}:
            messages: list[Message] = value["messages"]
            return messages
    raise UserError(
        f'{where} is no prompt; write a text in quotes, {{"prompt": "..."}} or '
        '{"messages": [{"role": "user", "content": "..."}]}'
    )


def _user(text: str) -> Message:
    return {"role": "user", "content": text.strip()}
