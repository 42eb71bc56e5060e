"""A sweep of 12 trials in one command, against 12 separate runs of plain libraries.

python -m benchmarks.sweep                      # all of both; most of an hour on two cores
python -m benchmarks.sweep --plain-trials 4     # the plain total is projected from four runs

A plain run is a process of its own that prepares the data, loads the base in 4 bits, trains with
TRL's SFTTrainer and its defaults, and answers the held-out rows with transformers' generate in
padded batches. The base model is evaluated once, in one more process. Both sides measure the same
rows by ROUGE-L, and the same statistics choose a rank from them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

BASE = "base model"

Items = dict[str, list[list[dict[str, Any]]]]
"""Arm -> a list of items for each seed."""


@dataclass(frozen=True)
class Side:
    """What one side took, and what it measured."""

    wall: float  # seconds
    trials: list[float]  # seconds of each
    items: Items


def main() -> None:
    """Run both sides and print what they took and recommend."""
    options = _options()
    if options.one:
        from benchmarks.sweep_plain import run_plain

        measured = run_plain(json.loads(options.one), Path(options.folder))
        Path(options.result).write_text(json.dumps(measured))
        return
    cores = psutil.cpu_count(logical=False)
    _say(f"{cores} cores, {len(_trials(options))} trials: {' '.join(_overrides(options))}")
    ours = _sweep(options)
    _note(f"loraflow: {ours.wall:.0f} s")
    plain = _plain(options)
    _report(ours, plain, options)


def _report(ours: Side, plain: Side, options: argparse.Namespace) -> None:
    _say("\n| | whole, s | a trial, s: median (least to most) | recommended r | in words |")
    _say("|---|---:|---:|---:|---|")
    for name, side in {"plain, separate runs": plain, "loraflow, one sweep": ours}.items():
        found = _recommended(side.items)
        shown = (
            f"{statistics.median(side.trials):.0f} "
            f"({min(side.trials):.0f} to {max(side.trials):.0f})"
        )
        _say(f"| {name} | {side.wall:.0f} | {shown} | {found[0]} | {found[1]} |")
    work = sum(ours.trials)
    _say(f"\nplain / loraflow: {plain.wall / ours.wall:.2f}")
    _say(f"loraflow's wall time / its training and evaluation: {ours.wall / work:.3f}")
    if options.plain_trials < len(_trials(options)):
        _say(f"The plain total is projected from {options.plain_trials} of its runs.")


def _recommended(items: Items) -> tuple[str, str]:
    from loraflow.compare.arms import compare_arms
    from loraflow.compare.recommend import recommend

    measured = {arm: [seed for seed in seeds if seed] for arm, seeds in items.items()}
    sizes = {arm: float(arm.partition("=")[2] or 0) for arm in measured}
    found = recommend(compare_arms(measured, "rougeL", margin=0.02), sizes, controls=[BASE])
    return str(found.arm or found.kind), found.sentence


def _trials(options: argparse.Namespace) -> list[tuple[int, int]]:
    return [(rank, seed) for rank in options.ranks for seed in options.seeds]


def _sweep(options: argparse.Namespace) -> Side:
    """Run `make sweep` from nothing: an empty store, an empty MLflow, an empty Prefect."""
    with tempfile.TemporaryDirectory() as scratch:
        words = [
            *_overrides(options),
            "sweep=rank_by_targets",
            f"adapter.r={','.join(map(str, options.ranks))}",
            "adapter.target_modules=attention",
            f"sweep.seeds={options.seeds}".replace(" ", ""),
            f"store={scratch}/store",
            f"tracking.uri=sqlite:///{scratch}/mlruns/mlflow.db",
            f"tracking.artifacts={scratch}/mlruns/artifacts",
        ]
        environment = {**_environment(), "PREFECT_HOME": f"{scratch}/prefect"}
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "flows.sweep", *words],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        wall = time.monotonic() - started
        if done.returncode:
            raise SystemExit("the sweep failed")
        _note(done.stdout)
        return _measured(words, wall)


def _measured(words: Sequence[str], wall: float) -> Side:
    from flows.course import Course
    from flows.sweep_command import read_request
    from loraflow.files import read_json
    from loraflow.sweep.report.outcomes import measured

    course = Course(read_request(words))
    course.add_known_trials()
    items: Items = {}
    seconds = []
    for trial in course.trials:
        outcome = course.notes.read(trial)
        if outcome is None:
            raise SystemExit(f"{trial.name} did not run")
        items.setdefault(trial.arm.partition(" ")[0] if trial.values else BASE, []).append(
            [dict(item) for item in measured(trial, outcome, []).items]
        )
        folders = [Path(outcome.evaluated)] + ([Path(outcome.trained)] if trial.values else [])
        seconds.append(sum(read_json(folder / "result.json")["seconds"] for folder in folders))
    return Side(wall, seconds, items)


def _plain(options: argparse.Namespace) -> Side:
    trials = _trials(options)
    count = options.plain_trials
    spread = [trials[at * len(trials) // count] for at in range(count)]
    items: Items = {f"r={rank}": [] for rank in options.ranks}
    base, base_seconds = _run(options, {"r": None, "seed": 0})
    seconds = []
    for rank, seed in spread:
        measured, took = _run(options, {"r": rank, "seed": seed})
        _note(f"plain r={rank} seed={seed}: {took:.0f} s {measured['seconds']}")
        items[f"r={rank}"].append(measured["items"])
        seconds.append(took)
    wall = base_seconds + statistics.fmean(seconds) * len(trials)
    found = {arm: seeds for arm, seeds in items.items() if seeds}
    return Side(wall, seconds, {BASE: [base["items"]], **found})


def _run(options: argparse.Namespace, trial: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """Run one plain trial in a process of its own, with a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        wanted = json.dumps({**trial, "overrides": _overrides(options)})
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


def _overrides(options: argparse.Namespace) -> list[str]:
    return [
        f"data.train_rows={options.rows}",
        f"data.split.held_out_rows={options.held_out}",
        f"train.max_steps={options.steps}",
        f"train.per_device_train_batch_size={options.batch}",
        "train.gradient_accumulation_steps=1",
        f"evaluate.max_new_tokens={options.new}",
        "evaluate.probes=[]",
        "judge=none",
        *options.override,
    ]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", type=int, default=160, help="to train on")
    parser.add_argument("--held-out", type=int, default=60, help="rows that are answered")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8, help="rows of a step")
    parser.add_argument("--new", type=int, default=32, help="tokens after which answers are cut")
    parser.add_argument("--plain-trials", type=int, default=12, help="of the plain side")
    parser.add_argument("--override", action="append", default=[], help="KEY=VALUE of conf/")
    for hidden in ("--one", "--folder", "--result"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
