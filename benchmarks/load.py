"""A server under load, on loopback: what fails, how long answers take, what memory does.

python -m benchmarks.load --url http://127.0.0.1:8000/v1 --model champion --pid PID
python -m benchmarks.load --clients 32 --seconds 60 \
    --at 20 'make rollback ARGS=...' --at 35 'kill -STOP MLFLOW' --at 50 'kill -CONT MLFLOW'

Any OpenAI-compatible server will do. `--at` runs a command that many seconds in: a swap of the
champion, an outage of the registry and its end. Exits with 1 if anything failed but by a 429.
"""

import argparse
import asyncio
import ipaddress
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import psutil

_MOST_CLIENTS, _MOST_SECONDS = 256, 600  # a test of this machine, not of a network
_BUSY = 429
_TOPICS = [
    "a dictionary",
    "甄嬛传",
    "the weather at sea",
    "LoRA 的秩",
    "sorting",
    "大理寺",
    "bread",
]


@dataclass
class Tally:
    """What happened."""

    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    tokens: int = 0
    busy: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    adapters: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)  # GiB, once a second


def main() -> None:
    """Run the load, print a table, and tell by the exit status whether anything failed."""
    options = _options()
    tally = Tally()
    elapsed = asyncio.run(_run(options, tally))
    sys.stdout.write("\n".join(_rows(tally, elapsed)) + "\n")
    sys.exit(1 if tally.failed or not tally.seconds else 0)


async def _run(options: argparse.Namespace, tally: Tally) -> float:
    """Let all clients ask until the time is over; return the seconds that it took."""
    limits = httpx.Limits(max_connections=options.clients)
    key = os.environ.get("LORAFLOW_API_KEY")
    async with httpx.AsyncClient(
        base_url=options.url.rstrip("/") + "/",
        timeout=options.patience,
        limits=limits,
        trust_env=False,
        headers={"authorization": f"Bearer {key}"} if key else {},
    ) as client:
        started = time.monotonic()
        ends = started + options.seconds
        beside = [asyncio.create_task(_command(float(at), line)) for at, line in options.at]
        beside.append(asyncio.create_task(_watch_memory(options.pid, tally)))
        await asyncio.gather(
            *(_ask_on(client, options, number, ends, tally) for number in range(options.clients))
        )
        elapsed = time.monotonic() - started
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    return elapsed


async def _ask_on(
    client: httpx.AsyncClient, options: argparse.Namespace, number: int, ends: float, tally: Tally
) -> None:
    """Ask one question after the other; every other answer is a stream."""
    chance = random.Random(number)
    while time.monotonic() < ends:
        question = f"Tell me about {chance.choice(_TOPICS)}, {chance.randrange(10**6)}."
        body = {
            "model": chance.choice(options.model),
            "messages": [{"role": "user", "content": question}],
            "max_tokens": options.tokens,
            "temperature": 0,
            "user": f"client{number}",
        }
        try:
            pause = await _ask(client, body, chance.random() < options.streams, tally)
        except (httpx.HTTPError, ValueError, LookupError) as error:
            tally.failed[type(error).__name__] += 1
            pause = 0.1
        await asyncio.sleep(pause)


async def _ask(
    client: httpx.AsyncClient, body: dict[str, object], is_stream: bool, tally: Tally
) -> float:
    """Ask, count the answer, and return the seconds to wait before the next question."""
    started = time.monotonic()
    if is_stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    async with client.stream("POST", "chat/completions", json=body) as reply:
        if reply.status_code == _BUSY:
            await reply.aread()
            tally.busy += 1
            return float(reply.headers.get("retry-after", 1))
        if reply.status_code != httpx.codes.OK:
            tally.failed[f"status {reply.status_code}: {(await reply.aread())[:200]!r}"] += 1
            return 0.1
        tokens = await (_read_stream(reply, started, tally) if is_stream else _read_whole(reply))
        tally.adapters[reply.headers.get("x-loraflow-adapter", "?")[:12]] += 1
    tally.tokens += tokens
    tally.seconds.append(time.monotonic() - started)
    return 0.0


async def _read_whole(reply: httpx.Response) -> int:
    value = json.loads(await reply.aread())
    if not isinstance(value["choices"][0]["message"]["content"], str):
        raise ValueError("an answer without text")
    return int(value["usage"]["completion_tokens"])


async def _read_stream(reply: httpx.Response, started: float, tally: Tally) -> int:
    """Read to [DONE]; a stream that ends before is a failure."""
    tokens, is_done, is_first = 0, False, True
    async for line in reply.aiter_lines():
        if line == "data: [DONE]":
            is_done = True
        elif line.startswith("data: "):
            if is_first:
                tally.first.append(time.monotonic() - started)
                is_first = False
            value = json.loads(line[6:])
            if "error" in value:
                raise ValueError(value["error"])
            tokens = (value.get("usage") or {}).get("completion_tokens", tokens)
    if not is_done:
        raise ValueError("the stream ended early")
    return tokens


async def _command(at: float, line: str) -> None:
    """Run a command of the shell at its time, beside the load."""
    await asyncio.sleep(at)
    sys.stderr.write(f"{at:g} s: {line}\n")
    process = await asyncio.create_subprocess_shell(line)
    sys.stderr.write(f"{at:g} s: it ended with status {await process.wait()}\n")


async def _watch_memory(pid: int | None, tally: Tally) -> None:
    if pid is None:
        return
    server = psutil.Process(pid)
    while server.is_running():
        tally.memory.append(server.memory_info().rss / 2**30)
        await asyncio.sleep(1)


def _rows(tally: Tally, elapsed: float) -> list[str]:
    memory = tally.memory
    warm = memory[len(memory) // 4 :]  # after the first quarter nothing new has to be loaded
    rows = [
        ("answers", f"{len(tally.seconds)} in {elapsed:.0f} s"),
        ("failed", f"{sum(tally.failed.values())}"),
        ("refused with 429", f"{tally.busy}"),
        ("seconds, p50 / p95", f"{_percentiles(tally.seconds)}"),
        ("first token, p50 / p95", f"{_percentiles(tally.first)}"),
        ("tokens/s", f"{tally.tokens / elapsed:.1f}"),
        ("adapters", ", ".join(f"{name}: {count}" for name, count in tally.adapters.items())),
    ]
    if memory:
        rows.append(
            (
                "GiB at start / after a quarter / at the end",
                f"{memory[0]:.3f} / {warm[0]:.3f} / {memory[-1]:.3f}",
            )
        )
    table = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return [*table, *(f"* {count} x {fault}" for fault, count in tally.failed.items())]


def _percentiles(values: Sequence[float]) -> str:
    if len(values) < 2:  # noqa: PLR2004 - a quantile needs two
        return "-"
    cuts = statistics.quantiles(values, n=20)
    return f"{cuts[9]:.2f} / {cuts[18]:.2f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", nargs="+", default=["default"], help="drawn from for each ask")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=64, help="at which an answer is cut")
    parser.add_argument("--streams", type=float, default=0.5, help="share of streamed answers")
    parser.add_argument("--patience", type=float, default=150, help="seconds without a byte")
    parser.add_argument("--pid", type=int, help="of the server, whose memory is watched")
    parser.add_argument(
        "--at", nargs=2, action="append", default=[], metavar=("SECONDS", "COMMAND")
    )
    options = parser.parse_args()
    if not _is_loopback(urlsplit(options.url).hostname or ""):
        parser.error(f"--url {options.url}: the load is for a server of this machine only")
    if options.clients > _MOST_CLIENTS or options.seconds > _MOST_SECONDS:
        parser.error(f"at most {_MOST_CLIENTS} clients and {_MOST_SECONDS} seconds")
    return options


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    main()
