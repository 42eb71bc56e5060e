"""Clients of the server's benchmark: they ask one question after the other, and read streams."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import httpx
import psutil

from benchmarks.serve_sides import Side


@dataclass(frozen=True)
class Reply:
    """One answer."""

    text: str
    read: int  # tokens, as the server counts them
    tokens: int  # written, as the server counts them
    first: float  # seconds until its first text
    whole: float  # seconds


@dataclass
class Turn:
    """What a number of clients measured at one side."""

    seconds: float
    others: float  # cores that were busy with something else meanwhile
    replies: dict[str, Reply] = field(default_factory=dict)  # by question

    @property
    def speed(self) -> float:
        """Tokens of all answers a second."""
        return sum(reply.tokens for reply in self.replies.values()) / self.seconds


def ask_all(side: Side, clients: int, questions: Sequence[str], tokens: int) -> Turn:
    """Let `clients` share the questions, each of which is asked once."""
    with side.alone():
        return asyncio.run(_ask_all(side, clients, questions, tokens))


async def _ask_all(side: Side, clients: int, questions: Sequence[str], tokens: int) -> Turn:
    left = enumerate(questions)
    turn = Turn(0.0, 0.0)
    async with httpx.AsyncClient(base_url=side.url, timeout=600, trust_env=False) as http:
        busy, started = _busy(side), time.monotonic()
        await asyncio.gather(*(_ask_on(http, side, left, tokens, turn) for _ in range(clients)))
        turn.seconds = time.monotonic() - started
        turn.others = max(0.0, _busy(side) - busy) / turn.seconds
    return turn


async def _ask_on(
    http: httpx.AsyncClient,
    side: Side,
    left: Iterator[tuple[int, str]],
    tokens: int,
    turn: Turn,
) -> None:
    for number, question in left:
        body = {
            "model": side.models[number % len(side.models)],
            "messages": [{"role": "user", "content": question}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        turn.replies[question] = await _ask(http, body)


async def _ask(http: httpx.AsyncClient, body: dict[str, object]) -> Reply:
    started, first, text = time.monotonic(), 0.0, ""
    usage: dict[str, int] = {}
    async with http.stream("POST", "chat/completions", json=body) as reply:
        if reply.is_error:
            raise SystemExit(f"{reply.status_code}: {(await reply.aread())[:500]!r}")
        async for line in reply.aiter_lines():
            if not line.startswith("data: {"):
                continue
            value = json.loads(line[6:])
            if "error" in value:
                raise SystemExit(f"an answer failed: {value['error']}")
            usage = value.get("usage") or usage
            for choice in value["choices"]:
                text += choice["delta"].get("content") or ""
            first = first or (time.monotonic() - started if text else 0.0)
    whole = time.monotonic() - started
    return Reply(
        text.strip(), usage["prompt_tokens"], usage["completion_tokens"], first or whole, whole
    )


def _busy(side: Side) -> float:
    """Return the seconds that all cores have worked so far, for others than this benchmark."""
    times = psutil.cpu_times()
    own = [psutil.Process().cpu_times(), side.process.cpu_times()]
    return sum(times) - times.idle - times.iowait - sum(one.user + one.system for one in own)
