"""Answers in OpenAI's shape: whole, and in pieces."""

from typing import Any

import orjson

from loraflow.serve.http.talk import Talk

DONE = b"data: [DONE]\n\n"
ADAPTER = "x-loraflow-adapter"  # header: which adapter answers


def headers(talk: Talk) -> dict[str, str]:
    """Return the headers of an answer, in one piece or many."""
    adapter = talk.adapter
    return {ADAPTER: adapter.digest if adapter.version is None else str(adapter.version)}


def completion(talk: Talk) -> dict[str, Any]:
    """Return a whole answer."""
    message = {"role": "assistant", "content": talk.answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": talk.finish}
    return {**_frame(talk, "chat.completion"), "choices": [choice], "usage": usage(talk)}


def usage(talk: Talk) -> dict[str, int]:
    """Return how many tokens were read and written."""
    read, written = talk.prompt_tokens, talk.answer.tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def event(value: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return b"data: %b\n\n" % orjson.dumps(value)


def chunk(talk: Talk, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    """Return what is new of an answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    value = {**_frame(talk, "chat.completion.chunk"), "choices": [choice]}
    return {**value, "usage": None} if wants_usage(talk) else value


def usage_chunk(talk: Talk) -> dict[str, Any]:
    """Return the chunk that tells the tokens and nothing else."""
    return {**_frame(talk, "chat.completion.chunk"), "choices": [], "usage": usage(talk)}


def wants_usage(talk: Talk) -> bool:
    """Tell whether a stream shall end with its tokens."""
    options = talk.request.stream_options
    return bool(options and options.include_usage)


def _frame(talk: Talk, kind: str) -> dict[str, Any]:
    return {
        "id": talk.id,
        "object": kind,
        "created": int(talk.arrival.at),
        "model": talk.choice.asked,
        "system_fingerprint": f"fp_{talk.adapter.digest[:12]}",
    }
