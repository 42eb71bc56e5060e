"""Turns rows of one question and one answer into records: Alpaca, prompt/completion and the like.

A question that is a transcript, as in Belle's multi-turn data or Anthropic's, becomes turns: lines
that start with "Human:" and "Assistant:" in turn, the human first and last, and nobody silent.
Anything else stays the text that it is.
"""

import re
from typing import Any

from loraflow.data.read.conversations import read_messages, with_system
from loraflow.data.read.fields import (
    Item,
    Unfit,
    first_present,
    optional_text,
    read_system,
    required_label,
    required_text,
)
from loraflow.data.records import Message, Record

_HUMAN = re.compile(r"\s*Human[:：]")
_SPEAKER = re.compile(r"(?:^|\n)[ \t]*(Human|Assistant)[:：]")
_HISTORY = "a list of [question, answer] in history"


def from_alpaca(item: Item) -> Record:
    """Convert instruction, input, output; system, history; Dolly's context and response.

    A row may have no instruction: then `input` is the whole question.
    """
    answer = required_text(item, "output", "response")
    if first_present(item, "instruction", "input") is None:
        raise Unfit("text in instruction or input")
    return answer_question(item, _read_instruction(item), answer)


def from_prompt_completion(item: Item) -> Record:
    """Convert prompt and completion (or response), texts or messages; system and tools."""
    if first_present(item, "prompt") is None:
        raise Unfit("text or messages in prompt")
    answer = "completion" if first_present(item, "completion") is not None else "response"
    messages = read_prompt(item) + read_messages(item, answer, role="assistant")
    return Record(with_system(item, messages))


def from_question_answer(item: Item) -> Record:
    """Convert question (or query), with its context before it, and answer (or response)."""
    answer = required_text(item, "answer", "response")
    required_text(item, "question", "query")
    return answer_question(item, _read_question(item), answer)


def from_openorca(item: Item) -> Record:
    """Convert system_prompt, question, response; an empty system_prompt is none."""
    if "system_prompt" not in item:
        raise Unfit("a column system_prompt")
    question = [_user(required_text(item, "question"))]
    return answer_question(item, question, required_text(item, "response"))


def from_firefly(item: Item) -> Record:
    """Convert input and target; `kind`, the name of the task, is no part of the text."""
    return answer_question(
        item, [_user(required_text(item, "input"))], required_text(item, "target")
    )


def from_text(item: Item) -> Record:
    """Convert raw text: all of it is learned."""
    return Record(({"role": "assistant", "content": required_text(item, "text")},), kind="text")


def from_classify(item: Item) -> Record:
    """Convert text and label: the class is the answer."""
    label = required_label(item, "label")
    question = _user(required_text(item, "text"))
    return Record((question, {"role": "assistant", "content": label}), "classify", label=label)


def answer_question(item: Item, question: list[Message], answer: str) -> Record:
    """Return a question and its answer as a record, the column `system` before them."""
    system = read_system(item)
    opening: list[Message] = [{"role": "system", "content": system}] if system else []
    return Record((*opening, *question, {"role": "assistant", "content": answer}))


def read_prompt(item: Item) -> list[Message]:
    """Read all that was said before the answer, in whichever columns; empty if in none."""
    for name in ("prompt", "conversations", "conversation", "messages"):
        value = first_present(item, name)
        if isinstance(value, str):
            return _ask(value)
        if value is not None:
            return read_messages(item, name, role="user")
    if first_present(item, "instruction", "input") is not None:
        return _read_instruction(item)
    if first_present(item, "question", "query") is not None:
        return _read_question(item)
    return []


def split_transcript(text: str) -> list[Message] | None:
    """Split what follows "Human:" and "Assistant:" into turns; None if that is not clearly it.

    An Assistant with nothing to say at the very end only asks for the answer and is left out.
    """
    if not _HUMAN.match(text):
        return None
    _, *parts = _SPEAKER.split(text.strip())
    speakers, texts = parts[::2], [part.strip() for part in parts[1::2]]
    if speakers[-1] == "Assistant" and not texts[-1]:
        speakers, texts = speakers[:-1], texts[:-1]
    elif len(speakers) == 1:
        return None  # one "Human:" and nobody else may be a quotation
    alternate = all(
        speaker == ("Assistant" if place % 2 else "Human") for place, speaker in enumerate(speakers)
    )
    if not alternate or not all(texts):
        return None
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        {"role": roles[speaker], "content": said}
        for speaker, said in zip(speakers, texts, strict=True)
    ]


def _read_instruction(item: Item) -> list[Message]:
    instruction = optional_text(item, "instruction")
    context = optional_text(item, "input", "context")
    history = _read_history(item)
    if context:
        return [*history, _user(f"{instruction}\n{context}" if instruction else context)]
    return history + _ask(instruction)


def _read_question(item: Item) -> list[Message]:
    context = optional_text(item, "context")
    question = required_text(item, "question", "query")
    text = f"{context}\n{question}" if context else question
    return _read_history(item) + _ask(text)


def _read_history(item: Item) -> list[Message]:
    history = first_present(item, "history")
    if history is None:
        return []
    if not isinstance(history, list):
        raise Unfit(_HISTORY)
    return [message for pair in history for message in _read_exchange(pair)]


def _read_exchange(pair: Any) -> tuple[Message, Message]:
    match pair:
        case [str() as question, str() as answer]:
            return _user(question), {"role": "assistant", "content": answer}
    raise Unfit(_HISTORY)


def _ask(text: str) -> list[Message]:
    question = split_transcript(text)
    if question is None or question[-1]["role"] == "assistant":
        return [_user(text)]
    return question


def _user(text: str) -> Message:
    return {"role": "user", "content": text}
