"""How fast the data stage cleans, and in how much memory: rows/s at 10k, 100k and 1M rows.

python -m benchmarks.data                       # the table of docs/benchmarks.md: three runs each
python -m benchmarks.data --rows 100000 --source my.jsonl --runs 1
"""

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from flows.command import CONF
from loraflow.config import Config

SIZES = (10_000, 100_000, 1_000_000)
CLEANING = {
    "all default operators": [],
    "without near-duplicates": ["data.clean.near_duplicates=null"],
}
_EXACT, _NEAR = 0.05, 0.05  # shares of rows that repeat one of the rows before
_WINDOW = 1_000  # rows before that may be repeated
_SECONDS_BETWEEN_SAMPLES = 0.1


def main() -> None:
    """Make the files, clean each several times, print a Markdown table."""
    options = _options()
    if options.one:
        _clean(options.one, options.override)
        return
    texts = _texts(options.source)
    _say(f"rows made from {len(texts):,} real texts; {psutil.cpu_count()} cores")
    _say("| rows | MB | operators | rows/s, median (least to most) | seconds | peak memory, GiB |")
    _say("|---:|---:|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            path = Path(folder) / f"{rows}.jsonl"
            _write(path, rows, texts)
            for name, overrides in CLEANING.items():
                runs = [_measure(path, overrides) for _ in range(options.runs)]
                _say(_line(rows, path.stat().st_size, name, runs))
            path.unlink()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="sizes to measure")
    parser.add_argument("--runs", type=int, default=3, help="of each size and cleaning")
    parser.add_argument("--source", help="real rows to make the others from (default: pydoc)")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--override", action="append", default=[], help=argparse.SUPPRESS)
    return parser.parse_args()


def _texts(source: str | None) -> list[tuple[str, str]]:
    """Return questions and answers of real rows."""
    from loraflow.data.clean.gather import clean_head

    config = _config([] if source is None else ["data=file", f"data.path={source}"])
    parts, _ = clean_head(config.data, 100_000)
    rows = [row for part in parts for row in part.kept.select(["messages"]).to_pylist()]
    return [
        (row["messages"][-2]["content"], row["messages"][-1]["content"])
        for row in rows
        if len(row["messages"]) > 1
    ]


def _write(path: Path, rows: int, texts: list[tuple[str, str]]) -> None:
    """Write rows that each join two real ones; some repeat an earlier row, whole or but a word."""
    with path.open("w", encoding="utf-8") as file:
        for question, answer in itertools.islice(_rows(texts), rows):
            row = {"instruction": question, "input": "", "output": answer}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _rows(texts: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    chance = random.Random(0)
    recent: list[tuple[str, str]] = []
    while True:
        drawn = chance.random()
        if recent and drawn < _EXACT:
            row = chance.choice(recent)
        elif recent and drawn < _EXACT + _NEAR:
            question, answer = chance.choice(recent)
            row = question, f"{answer} Indeed."
        else:
            first, second = chance.choice(texts), chance.choice(texts)
            row = f"{first[0]}\n{second[0].splitlines()[-1]}", f"{first[1]} {second[1]}"
        recent.append(row)
        del recent[:-_WINDOW]
        yield row


def _measure(path: Path, overrides: list[str]) -> tuple[float, float]:
    """Clean the file in a process of its own; return seconds and its peak memory in GiB."""
    command = [sys.executable, "-m", "benchmarks.data", "--one", str(path)]
    command += [f"--override={override}" for override in overrides]
    process = psutil.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(process))
        time.sleep(_SECONDS_BETWEEN_SAMPLES)
    if process.returncode:
        sys.exit(f"cleaning {path} failed")
    return float(process.stdout.read()), peak / 2**30


def _memory(process: psutil.Process) -> int:
    """Return the bytes that the process and its children hold, shared pages counted once each."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def _clean(path: Path, overrides: list[str]) -> None:
    """Run the stage, and print how long it took; imports are not counted."""
    from loraflow.data.prepare import prepare
    from loraflow.data.read.sources import fingerprint

    config = _config(["data=file", f"data.path={path}", *overrides])
    with tempfile.TemporaryDirectory(dir=path.parent) as out:
        started = time.monotonic()
        prepare(config.data, content=fingerprint(config.data), out=Path(out))
        sys.stdout.write(f"{time.monotonic() - started}\n")


def _config(overrides: list[str]) -> Config:
    from hydra import compose, initialize_config_dir

    from flows.command import to_settings
    from loraflow.check import load_config

    with initialize_config_dir(str(CONF), version_base="1.3"):
        return load_config(to_settings(compose("config", overrides=overrides)))


def _line(rows: int, size: int, name: str, runs: list[tuple[float, float]]) -> str:
    seconds = [run[0] for run in runs]
    rates = sorted(rows / second for second in seconds)
    memory = max(run[1] for run in runs)
    return (
        f"| {rows:,} | {size / 1e6:.0f} | {name} | {statistics.median(rates):,.0f} "
        f"({rates[0]:,.0f} to {rates[-1]:,.0f}) | {statistics.median(seconds):.1f} | {memory:.2f} |"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
