"""Turns judged answers into records: preference pairs, and single answers with KTO's label."""

from collections.abc import Callable
from dataclasses import replace

from loraflow.data.read.conversations import (
    from_messages,
    from_sharegpt,
    read_messages,
    with_system,
)
from loraflow.data.read.fields import Item, Unfit, first_present
from loraflow.data.read.questions import (
    from_alpaca,
    from_openorca,
    from_prompt_completion,
    from_question_answer,
    read_prompt,
    split_transcript,
)
from loraflow.data.records import Message, Record

_VERDICTS = {True: "true", False: "false", "true": "true", "false": "false"}
_JUDGED: tuple[Callable[[Item], Record], ...] = (
    from_sharegpt,
    from_messages,
    from_alpaca,
    from_openorca,
    from_prompt_completion,
    from_question_answer,
)


def from_preference(item: Item) -> Record:
    """Convert a prompt, and the chosen and the rejected answer to it: texts or messages.

    The prompt may stand in `prompt`, in a list of turns, in Alpaca's or question/answer's columns,
    or be what chosen and rejected have in common.
    """
    prompt = read_prompt(item)
    chosen, rejected = (_read_conversation(item, name, prompt) for name in ("chosen", "rejected"))
    if not chosen[:-1]:
        raise Unfit("a prompt, in a column of its own or in chosen and rejected")
    if chosen[:-1] != rejected[:-1]:
        raise Unfit("chosen and rejected that differ in their last message alone")
    if not chosen[-1]["role"] == rejected[-1]["role"] == "assistant":
        raise Unfit("an answer of the assistant at the end of chosen and rejected")
    return Record(with_system(item, chosen), "preference", rejected=rejected[-1]["content"])


def from_kto(item: Item) -> Record:
    """Convert a question and its answer in any layout, and kto_tag (or label): is it good?"""
    verdict = first_present(item, "kto_tag", "label")
    if isinstance(verdict, str):  # tables of text have no truth values
        verdict = verdict.strip().lower()
    if not isinstance(verdict, bool | str) or verdict not in _VERDICTS:
        raise Unfit("true or false in kto_tag or label")
    return replace(_read_judged(item), kind="kto", label=_VERDICTS[verdict])


def _read_judged(item: Item) -> Record:
    for convert in _JUDGED:
        try:
            return convert(item)
        except Unfit:
            continue
    raise Unfit("a question and an answer beside the label")


def _read_conversation(item: Item, name: str, prompt: list[Message]) -> list[Message]:
    """Return prompt and answer; many files repeat the prompt within chosen and rejected."""
    answer = read_messages(item, name, role="assistant")
    if not prompt and len(answer) == 1:
        answer = split_transcript(answer[0]["content"]) or answer
    asked, said = _without_system(prompt), _without_system(answer)
    if _texts(said[: len(asked)]) != _texts(asked):
        return prompt + answer
    return (_opening(answer) or _opening(prompt)) + said


def _opening(messages: list[Message]) -> list[Message]:
    return [message for message in messages[:1] if message["role"] == "system"]


def _without_system(messages: list[Message]) -> list[Message]:
    return messages[len(_opening(messages)) :]


def _texts(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"].strip()) for message in messages]
