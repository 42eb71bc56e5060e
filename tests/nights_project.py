"""A line of nights on the tiny model, with data that a test writes."""

import json
import random
from pathlib import Path
from typing import Any

from loraflow.promote.line import Line
from loraflow.promote.record import NightRecord
from loraflow.promote.registry.registry import Registry
from tests.test_flows import Project, tiny_project

WORDS = ["red", "blue", "green", "seven", "winter", "summer", "river", "stone", "apple", "train"]
GATE = [
    "gate.metric=loss",
    "gate.rows=30",
    *(f"gate.guards.{name}=null" for name in ("forgetting", "old_tasks")),
    *(f"gate.guards.{name}=null" for name in ("refusals", "answer_length")),
]


class Nights:
    """Runs nights as `make nightly` does, and reads what they leave."""

    def __init__(self, tiny_folder: Path, folder: Path, *more: str) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        words = [
            "data=file",
            f"data.path={self.data}",
            "data.min_train_rows=10",
            "data.train_rows=null",
            "quantization=none",
            "train.max_steps=null",
            "train.num_train_epochs=2",
            "train.learning_rate=0.01",
            "evaluate.probes=[]",
            "evaluate.max_new_tokens=4",
            "judge=none",
            f"night.folder={folder / 'nights'}",
            "night.settle_seconds=0.1",
            "schedule.retries=0",
            *GATE,
        ]
        self.project: Project = tiny_project(tiny_folder, folder, *words, *more)
        self.project.overrides.remove("data.train_rows=64")
        self.line = Line(folder / "nights", "tiny")

    def run(self, *words: str) -> Any:
        """Run a night, and return the finished process."""
        return self.project.run_flow("nightly", *words)

    def last(self) -> NightRecord:
        """Return the record of the last night."""
        return self.line.nights()[-1]

    @property
    def champion(self) -> int | None:
        """Return the number of the champion's version."""
        folder = self.project.folder
        champion = Registry(tracking_of(folder), "tiny").champion()
        return None if champion is None else champion.number

    def write(self, name: str, rows: list[dict[str, str]]) -> Path:
        """Write a file of new data."""
        path = self.data / name
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text(text, encoding="utf-8")
        return path


def tracking_of(folder: Path) -> Any:
    """Return the tracking section of a project below `folder`."""
    from loraflow.config import TrackingConfig  # noqa: PLC0415

    return TrackingConfig(
        uri=f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}",
        artifacts=str(folder / "mlruns" / "artifacts"),
        experiment="loraflow",
        ui="http://127.0.0.1:5000",
    )


def good(count: int, seed: int) -> list[dict[str, str]]:
    """Return rows of one simple task."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        one, two = draw.choice(WORDS), draw.choice(WORDS)
        question = f"Join {one} and {two}, case {draw.randrange(10**6)}"
        rows.append({"instruction": question, "output": f"{one} {two} {one}"})
    return rows


def wrong(count: int, seed: int) -> list[dict[str, str]]:
    """Return rows of the same task with answers that are far from right, no two alike."""
    draw = random.Random(seed)
    return [
        {**row, "output": " ".join(f"{draw.randrange(10**6):06}" for _ in range(5))}
        for row in good(count, seed)
    ]


def poisoned(count: int) -> list[dict[str, str]]:
    """Return rows that hold no answer."""
    return [{"instruction": f"Join case {n}", "output": ""} for n in range(count)]


def chinese(count: int) -> list[dict[str, str]]:
    """Return rows of another language and length, no two alike."""
    draw = random.Random(count)
    characters = "春夏秋冬山水风云日月星河花鸟鱼虫书画琴棋诗酒茶米天地人和东西南北"

    def text(length: int) -> str:
        return "".join(draw.choices(characters, k=length))

    return [
        {"instruction": f"请写：{text(30)}？", "output": f"{text(200)}。"} for _ in range(count)
    ]
