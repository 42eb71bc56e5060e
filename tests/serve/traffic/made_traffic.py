"""Requests and ratings as a server logs them, made up: users with moods of their own."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loraflow.config.serve import TrafficConfig
from loraflow.serve.traffic.log import Exchange
from loraflow.serve.traffic.split import arm_of, deal_of, hashed_user
from loraflow.serve.traffic.table import insert, open_to_write

START = 1_795_000_000.0  # in November 2026
DAY = 86_400.0
CONTROL, CANDIDATE = "c" * 64, "d" * 64
SETTINGS = TrafficConfig("split", "champion", "challenger", 0.5, "loraflow")
TALKS = (
    (
        "如何在 Python 中读取一个大文件而不占用太多内存？",
        "逐行读取即可：`for line in open(path): ...`，这样每次只有一行在内存里。",
    ),
    (
        "Which module parses command lines?",
        "Use argparse: it makes --help by itself and checks types.",
    ),
    ("把这句话翻译成英文：今天天气不错。", "The weather is nice today."),
    (
        "What does functools.lru_cache do?",
        "It remembers results by arguments, up to maxsize of them.",
    ),
    ("退款一般需要几天到账？", "通常 3 到 5 个工作日，具体取决于银行。"),
    (
        "Explain the difference between a list and a tuple.",
        "A list can change, a tuple cannot; so a tuple can be a key.",
    ),
)
COMMENTS = (
    "答非所问，我问的是内存占用，不是怎么写循环。",
    "Wrong module: optparse is deprecated.",
    "太长了，没有重点。",
    "",
    "It repeats itself.",
    "",
)
BETTER = (
    '用生成器逐块读取：`iter(lambda: f.read(65536), b"")`。',
    "",
    "",
    "",
    "argparse, or click for larger tools.",
)


def exchange(id: str = "chatcmpl-1", **changed: Any) -> Exchange:
    """Return an exchange with what is changed."""
    values: dict[str, Any] = {
        "id": id,
        "at": START,
        "model": "default",
        "arm": "control",
        "adapter": CANDIDATE if changed.get("arm") in ("candidate", "shadow") else CONTROL,
        "version": 4 if changed.get("arm") in ("candidate", "shadow") else 3,
        "run_id": "f" * 32,
        "user": f"user of {id}",
        "messages": [{"role": "user", "content": "在吗？"}],
        "answer": "在的。",
        "prompt_tokens": 9,
        "answer_tokens": 4,
        "first_token_seconds": 0.2,
        "seconds": 1.0,
        "finish": "stop",
        "shadow_of": None,
        "deal": deal_of(SETTINGS),
    }
    return Exchange(**{**values, **changed})


@dataclass(frozen=True)
class Said:
    """A rating at a time."""

    id: str
    at: float
    rating: str | None
    text: str = ""
    better: str = ""


def write_log(path: Path, exchanges: Sequence[Exchange], ratings: Sequence[Said] = ()) -> Path:
    """Write a log as the server does, at once."""

    with closing(open_to_write(path)) as table:
        table.execute("BEGIN")
        for one in exchanges:
            messages = json.dumps(one.messages, ensure_ascii=False)
            insert(table, "exchanges", {**asdict(one), "messages": messages})
        for said in ratings:
            insert(table, "ratings", asdict(said))
        table.execute("COMMIT")
    return path


def simulated(
    users: int, *, gain: float, seed: int = 0, days: float = 14, settings: TrafficConfig = SETTINGS
) -> tuple[list[Exchange], list[Said]]:
    """Return the traffic of so many users; `gain` is how much more the candidate pleases them."""
    draw = np.random.default_rng(seed)
    exchanges: list[Exchange] = []
    ratings: list[Said] = []
    for user in range(users):
        name = f"user-{user}"
        arm = arm_of(name, settings)
        base = 0.6 + (gain if arm == "candidate" else 0)
        mood = draw.beta(6 * base, 6 * (1 - base))  # users differ
        first = START + draw.random() ** 0.8 * days * DAY
        for number in range(1 + draw.poisson(3)):
            id = f"chatcmpl-{user}-{number}"
            at = first + number * draw.exponential(900)
            exchanges.append(_answered(draw, id, at, arm, hashed_user(name, settings)))
            if draw.random() < 0.5:
                ratings.append(_rated(draw, id, at + 30, mood))
    ratings.sort(key=lambda said: said.at)
    return sorted(exchanges, key=lambda one: one.at), ratings


def _answered(draw: np.random.Generator, id: str, at: float, arm: str, user: str) -> Exchange:
    question, answer = TALKS[draw.integers(len(TALKS))]
    first = float(draw.lognormal(-1.6, 0.5))
    tokens = int(draw.lognormal(4.2 + (0.2 if arm == "candidate" else 0), 0.5)) + 1
    finish = str(
        draw.choice(["stop", "length", "cancelled", "failed"], p=[0.92, 0.05, 0.025, 0.005])
    )
    return exchange(
        id,
        at=float(at),
        arm=arm,
        user=user,
        messages=[{"role": "user", "content": question}],
        answer=answer,
        answer_tokens=tokens,
        first_token_seconds=first,
        seconds=first + tokens * 0.03,
        finish=finish,
    )


def _rated(draw: np.random.Generator, id: str, at: float, mood: float) -> Said:
    if draw.random() < mood:
        return Said(id, float(at), "up")
    place = draw.integers(len(COMMENTS))
    better = BETTER[place] if place < len(BETTER) and draw.random() < 0.5 else ""
    return Said(id, float(at), "down", COMMENTS[place], better)


def rows_of(path: Path, name: str) -> Iterator[sqlite3.Row]:
    """Yield all rows of a table."""
    with closing(sqlite3.connect(path)) as table:
        table.row_factory = sqlite3.Row
        yield from table.execute(f"SELECT * FROM {name}").fetchall()
