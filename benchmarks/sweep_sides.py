"""The two sides of the sweep's benchmark, each as a user would start it."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BASE = "base model"

Items = dict[str, list[dict[str, Any]]]
"""Arm -> its answers, each with its measures."""


@dataclass(frozen=True)
class Trial:
    """One training of the question; without r, the base alone."""

    r: int | None
    rate: float


@dataclass(frozen=True)
class Side:
    """What one side took, and what it measured."""

    wall: float  # seconds of all trials
    trials: list[float]  # seconds of each that ran to its end; the base is none
    items: Items  # of the base, and of each r with the rate that was chosen
    worked: float  # seconds of all training and evaluation, that of stopped trials included


def have_base(words: Sequence[str]) -> None:
    """Fetch and convert the base model, unless it is on this disk: both sides find it there."""
    from benchmarks.sweep_plain import read_config
    from loraflow.model.source import find_base

    config = read_config(words)
    find_base(config.model, config.quantization)


def run_loraflow(
    ranks: Sequence[int], rates: Sequence[float], words: Sequence[str], pruning: str
) -> Side:
    """Run `make sweep` from nothing: an empty store, an empty MLflow, an empty Prefect."""
    with tempfile.TemporaryDirectory() as scratch:
        words = [
            *words,
            "sweep=default",
            f"sweep.space={{adapter.r: {list(ranks)}}}",
            f"sweep.search.tune={{train.learning_rate: {list(rates)}}}",
            f"sweep.search.pruning={pruning}",
            f"sweep.search.storage=sqlite:///{scratch}/sweeps.db",
            "sweep.seeds=[0]",
            "adapter.target_modules=attention",
            f"store={scratch}/store",
            f"tracking.uri=sqlite:///{scratch}/mlruns/mlflow.db",
            f"tracking.artifacts={scratch}/mlruns/artifacts",
        ]
        command = [sys.executable, "-m", "flows.sweep", *words]
        environment = {**_environment(), "PREFECT_HOME": f"{scratch}/prefect"}
        started = time.monotonic()
        subprocess.run(command, env=environment, stdout=sys.stderr, check=True)
        wall = time.monotonic() - started
        return _measured(Path(scratch) / "store", wall)


def _measured(store: Path, wall: float) -> Side:
    from loraflow.files import ITEMS, read_json, read_lines
    from loraflow.sweep.outcome import Outcome

    outcomes = [Outcome(**read_json(note)) for note in store.glob("sweep/*/trials/*.json")]
    chosen: dict[str, Outcome] = {}
    seconds = []
    for outcome in outcomes:
        if outcome.state != "finished":
            continue
        arm = outcome.trial.partition(" ")[0] if outcome.trial.startswith("r=") else BASE
        if arm != BASE:
            folders = (Path(outcome.trained), Path(outcome.evaluated))
            seconds.append(sum(read_json(folder / "result.json")["seconds"] for folder in folders))
        if arm not in chosen or _loss(outcome) < _loss(chosen[arm]):
            chosen[arm] = outcome
    items = {
        arm: [dict(row) for row in read_lines(Path(outcome.evaluated) / ITEMS)]
        for arm, outcome in chosen.items()
    }
    return Side(wall, seconds, items, _worked(store))


def _worked(store: Path) -> float:
    from loraflow.files import read_json
    from loraflow.store import RESULT, SPENT, UNFINISHED

    whole = [note for stage in ("train", "evaluate") for note in store.glob(f"{stage}/*/{RESULT}")]
    stopped = store.glob(f"{UNFINISHED}/train/*/{SPENT}")
    return sum(float(read_json(note)["seconds"]) for note in (*whole, *stopped))


def _loss(outcome: Any) -> float:
    return min((loss for _, loss in outcome.validation), default=0.0)


def run_plain(trials: Sequence[Trial], count: int, words: Sequence[str]) -> Side:
    """Run trials one after another; the wall time is that of `count` such, and the base."""
    base, base_seconds = _run(Trial(None, 0.0), words)
    items, losses, seconds = {BASE: base["items"]}, dict[str, float](), []
    for trial in trials:
        measured, took = _run(trial, words)
        sys.stderr.write(f"plain {trial}: {took:.0f} s {measured['seconds']}\n")
        seconds.append(took)
        arm = f"r={trial.r}"
        if measured["loss"] < losses.get(arm, float("inf")):
            losses[arm], items[arm] = measured["loss"], measured["items"]
    wall = base_seconds + statistics.fmean(seconds) * count
    return Side(wall, seconds, items, worked=wall)


def _run(trial: Trial, words: Sequence[str]) -> tuple[dict[str, Any], float]:
    """Run one plain trial in a process of its own, with a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        wanted = json.dumps({**asdict(trial), "words": list(words)})
        command = [sys.executable, "-m", "benchmarks.sweep", "--one", wanted]
        command += ["--folder", scratch, "--result", str(result)]
        started = time.monotonic()
        done = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, check=False
        )
        wall = time.monotonic() - started
        if done.returncode:
            raise SystemExit(f"plain {trial} failed:\n{done.stderr[-3000:]}")
        measured: dict[str, Any] = json.loads(result.read_text())
        return measured, wall


def _environment() -> Mapping[str, str]:
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
