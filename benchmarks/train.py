"""How fast training is: plain TRL SFTTrainer against loraflow, in pairs, each run a fresh process.

python -m benchmarks.train                                  # the default data and model
python -m benchmarks.train --data my.json --rows 200 --each # your rows, each speed-up left out
python -m benchmarks.train --llamafactory VENV/bin/python   # LLaMA-Factory too
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks import train_arms

_SPEED = "train.speed."
SWITCHED_OFF = {  # one speed-up at a time left out
    "without packing": [f"{_SPEED}packing=false"],
    "loss at all positions": [f"{_SPEED}learned_positions=false"],
    "unpacked at each use": [f"{_SPEED}keep_dequantized=false"],
    "memory given back": [f"{_SPEED}keep_memory=false"],
    "activations twice": [f"{_SPEED}activation_checkpointing=true"],
    "bfloat16": ["quantization.compute_dtype=bfloat16"],
}


def main() -> None:
    """Measure pairs and print Markdown tables."""
    options = _options()
    if options.one:
        result = train_arms.ARMS[options.one](options.folder, options.override, options.python)
        Path(options.result).write_text(json.dumps(result))
        return
    peaks = train_arms.matmul_peaks()
    _say(f"{psutil.cpu_count(logical=False)} cores; matrix products, GFLOP/s: {peaks}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for quantization in options.quantization:
            base = [f"quantization={quantization}", *_overrides(options)]
            rows = train_arms.write_tokens(base, options.rows, folder / quantization)
            _say(f"\n{quantization}: {rows}, {options.steps} steps of {options.batch} rows\n")
            _compare(options, base, folder / quantization, peaks)


def _compare(
    options: argparse.Namespace, base: list[str], folder: Path, peaks: dict[str, float]
) -> None:
    """Run all arms in turns, so that what else the machine does meets all of them."""
    arms: dict[str, tuple[str, list[str]]] = {
        "plain SFTTrainer": ("plain", []),
        "loraflow": ("loraflow", []),
    }
    if options.llamafactory:
        arms["LLaMA-Factory"] = ("llamafactory", [])
    if options.each:
        arms |= {name: ("loraflow", off) for name, off in SWITCHED_OFF.items()}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    for pair in range(options.pairs):
        for name, (arm, more) in arms.items():
            runs[name].append(_run(arm, [*base, *more], folder, options))
            _note(f"pair {pair + 1}: {name}: {runs[name][-1]['tokens_per_second']:.0f} tokens/s")
    _say(
        "| arm | tokens/s, median (least to most) | times plain | share of peak | GiB "
        "| loss, first and last step |"
    )
    _say("|---|---:|---:|---:|---:|---:|")
    for name, results in runs.items():
        _say(_line(name, results, runs["plain SFTTrainer"], peaks))


def _line(
    name: str,
    results: Sequence[dict[str, Any]],
    plain: Sequence[dict[str, Any]],
    peaks: dict[str, float],
) -> str:
    speeds = [result["tokens_per_second"] for result in results]
    ratios = [
        one["tokens_per_second"] / other["tokens_per_second"]
        for one, other in zip(results, plain, strict=True)
    ]
    first = results[0]
    flops = 4 * first["parameters"] * statistics.median(speeds) / 1e9
    peak = peaks[first["dtype"]]
    return (
        f"| {name} | {_spread(speeds, '.0f')} | {_spread(ratios, '.2f')} | "
        f"{flops / peak:.0%} of {first['dtype']} | {first['peak_memory_gib']:.1f} | "
        f"{first['losses'][0]:.3f}, {first['losses'][-1]:.3f} |"
    )


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _run(
    arm: str, overrides: list[str], folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Run one arm in a process of its own and return what it measured."""
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.train", "--one", arm, "--folder", str(folder)]
    command += ["--result", str(result), "--python", options.llamafactory or ""]
    command += [word for override in overrides for word in ("--override", override)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(result.read_text())
    return measured


def _overrides(options: argparse.Namespace) -> list[str]:
    data = [] if options.data is None else ["data=file", f"data.path={options.data}"]
    return [
        *data,
        "adapter.target_modules=attention_qv",
        "adapter.r=8",
        "train.max_length=512",
        f"train.per_device_train_batch_size={options.batch}",
        "train.gradient_accumulation_steps=1",
        f"train.max_steps={options.steps}",
        *options.override,
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="rows to train on (default: data=pydoc)")
    parser.add_argument("--rows", type=int, default=200, help="of the data, from the first")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4, help="rows of a step")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--quantization", nargs="+", default=["nf4", "none"])
    parser.add_argument("--each", action="store_true", help="each speed-up left out, too")
    parser.add_argument("--llamafactory", help="a Python that has llamafactory")
    parser.add_argument("--override", action="append", default=[], help="KEY=VALUE of conf/")
    for hidden in ("--one", "--result", "--python"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
