"""How far the memory estimate is from the peak RAM of a training, each in a fresh process.

python -m benchmarks.memory
python -m benchmarks.memory --model model=folder model.location=../model --only full
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from flows.command import CONF
from loraflow.config import Config

CASES = {  # what is trained -> overrides; rows of exactly train.max_length tokens
    "NF4, r 8": ["batch=2", "length=256"],
    "NF4, r 8, bfloat16": ["batch=2", "length=1024", "quantization.compute_dtype=bfloat16"],
    "NF4, r 64 on all, larger batch": [
        *("batch=8", "length=256", "adapter.r=64", "adapter.target_modules=all_linear"),
    ],
    "NF4 kept packed": ["batch=4", "length=512", "train.speed.keep_dequantized=false"],
    "NF4, activations computed twice": [
        *("batch=8", "length=1024", "train.speed.activation_checkpointing=true"),
    ],
    "int8": ["batch=4", "length=256", "quantization=int8", "train.speed.keep_dequantized=false"],
    "not quantized, r 8 on q and v": [
        *("batch=2", "length=1024", "quantization=none", "adapter.target_modules=attention_qv"),
    ],
    "not quantized, r 64 on all": [
        *("batch=2", "length=512", "quantization=none"),
        *("adapter.r=64", "adapter.target_modules=all_linear"),
    ],
    "padded, TRL's loss": [
        *("batch=4", "length=256", "quantization=none"),
        *("train.speed.packing=false", "train.speed.learned_positions=false"),
    ],
    "full": ["batch=2", "length=256", "quantization=none", "adapter=full"],
    "full, 8-bit AdamW, activations computed twice": [
        *("batch=8", "length=256", "quantization=none", "adapter=full", "train.optim=adamw_8bit"),
        "train.speed.activation_checkpointing=true",
    ],
    "preference": ["batch=2", "length=256", "train=preference"],
    "classify": ["batch=8", "length=256", "train=classify", "quantization=none"],
}
_NAMES = {"batch": "train.per_device_train_batch_size", "length": "train.max_length"}
_STEPS = 2  # the optimizer's memory is there from the second step on
_SECONDS = 900


def main() -> None:
    """Train each case in a process of its own, print a Markdown table."""
    options = _options()
    if options.one:
        _say(json.dumps(_measure(options.one)))
        return
    _say("| training | batch x length | estimated, GiB | measured, GiB | error |")
    _say("|---|---:|---:|---:|---:|")
    for name, overrides in CASES.items():
        if options.only is None or options.only in name:
            _say(_line(name, overrides, _run([*options.model, *overrides])))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", nargs="+", default=[], help="overrides that choose a model")
    parser.add_argument("--only", help="cases whose name holds this")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(overrides: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "--one", *overrides],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        timeout=_SECONDS,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(overrides: list[str]) -> dict[str, Any]:
    """Estimate, train, and return both."""
    from loraflow.estimate.decisions import decide
    from loraflow.measure import measured
    from loraflow.model.source import find_base
    from loraflow.train.job import Job
    from loraflow.train.run import train

    config = _config(overrides)
    base = find_base(config.model, config.quantization)
    decisions = decide(config.adapter, config.train, base)
    with tempfile.TemporaryDirectory() as folder:
        tokens, work, out = (Path(folder) / name for name in ("tokens", "work", "out"))
        tokens.mkdir()
        out.mkdir()
        _write_rows(config, tokens)
        job = Job(config.adapter, config.train, base, tokens, None, work, lambda *_: None)
        with measured() as cost:
            train(job, out=out)
    return {
        "estimated": decisions.estimate.total_gib,
        "measured": cost.peak_memory_gib,
        "parts": decisions.estimate.parts,
    }


def _write_rows(config: Config, tokens: Path) -> None:
    """Write rows that are all as long as allowed, and learned whole: the worst that can come."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    train = config.train
    ids = [number % 1000 + 10 for number in range(train.max_length)]
    row = {"input_ids": ids, "labels": ids, "rejected_ids": ids, "rejected_labels": ids}
    count = train.per_device_train_batch_size * train.gradient_accumulation_steps * _STEPS
    rows = [{"id": str(n), **row, "label": "ab"[n % 2]} for n in range(count)]
    pq.write_table(pa.Table.from_pylist(rows), tokens / "train.parquet")
    (tokens / "labels.json").write_text('["a", "b"]')


def _config(overrides: list[str]) -> Config:
    from hydra import compose, initialize_config_dir

    from flows.command import to_settings
    from loraflow.check import load_config

    fixed = ["train.gradient_accumulation_steps=1", f"train.max_steps={_STEPS}"]
    if not any("compute_dtype" in override for override in overrides):
        fixed.append("quantization.compute_dtype=float32")  # what auto takes changes by the minute
    named = [_NAMES.get(key, key) + "=" + value for key, _, value in map(_split, overrides)]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return load_config(to_settings(compose("config", overrides=[*named, *fixed])))


def _split(override: str) -> tuple[str, str, str]:
    return override.partition("=")


def _line(name: str, overrides: list[str], found: dict[str, Any]) -> str:
    batch, length = (part.partition("=")[2] for part in overrides[:2])
    error = found["estimated"] / found["measured"] - 1
    return (
        f"| {name} | {batch} x {length} | {found['estimated']:.2f} | {found['measured']:.2f} | "
        f"{error:+.0%} |"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
