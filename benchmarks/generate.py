"""How fast answers are written: one by one, in padded batches, and in slots, in turns.

python -m benchmarks.generate                    # prompts of the project's own question set
python -m benchmarks.generate --prompts 64 --new 128 --override quantization=none
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

_ARMS = ("one by one", "padded batches of 16", "padded batches of 64", "loraflow")


def main() -> None:
    """Measure all arms in turns, each run a fresh process, and print a Markdown table."""
    options = _options()
    if options.one:
        Path(options.result).write_text(json.dumps(_measure(options)))
        return
    _say(f"{psutil.cpu_count(logical=False)} cores, {options.prompts} prompts, {options.runs} runs")
    runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in _ARMS}
    for turn in range(options.runs):
        for arm in _ARMS:
            runs[arm].append(_run(arm, options))
            speed = runs[arm][-1]["tokens_per_second"]
            sys.stderr.write(f"run {turn + 1}: {arm}: {speed:.1f} tokens/s\n")
    texts = {arm: results[0]["texts"] for arm, results in runs.items()}
    _say("\n| arm | tokens/s, median (least to most) | times one by one | same answers | GiB |")
    _say("|---|---:|---:|---:|---:|")
    for arm, results in runs.items():
        _say(_line(arm, results, runs[_ARMS[0]], _same(texts[arm], texts[_ARMS[0]])))


def _line(
    arm: str, results: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]], same: str
) -> str:
    speeds = [result["tokens_per_second"] for result in results]
    ratios = [
        one["tokens_per_second"] / other["tokens_per_second"]
        for one, other in zip(results, plain, strict=True)
    ]
    memory = max(result["peak_memory_gib"] for result in results)
    return f"| {arm} | {_spread(speeds)} | {_spread(ratios)} | {same} | {memory:.1f} |"


def _same(texts: Sequence[str], others: Sequence[str]) -> str:
    return f"{sum(map(str.__eq__, texts, others))} of {len(texts)}"


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _run(arm: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one arm in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        command = [sys.executable, "-m", "benchmarks.generate", "--one", arm]
        command += ["--result", str(result), "--prompts", str(options.prompts)]
        command += ["--new", str(options.new)]
        command += [word for override in options.override for word in ("--override", override)]
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
        measured: dict[str, Any] = json.loads(result.read_text())
        return measured


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Load the model, answer the prompts, and tell what that took; loading is not counted."""
    from hydra import compose, initialize_config_dir

    from flows.command import CONF, to_settings
    from loraflow.check import load_config
    from loraflow.evaluate.generate.prompt import Prompt
    from loraflow.evaluate.mt_bench.questions import load_questions
    from loraflow.measure import measured
    from loraflow.model.load import load_for_answers
    from loraflow.model.source import find_base
    from loraflow.model.tokenizer import load_tokenizer, stop_tokens

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = load_config(to_settings(compose("config", overrides=options.override)))
    base = find_base(config.model, config.quantization)
    model, tokenizer = load_for_answers(base, None), load_tokenizer(base)
    asked = [question.turns[0] for question in load_questions("en", "reference")]
    spread = [asked[at * len(asked) // options.prompts] for at in range(options.prompts)]
    prompts = [
        Prompt(
            str(number),
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
            ),
            options.new,
        )
        for number, text in enumerate(spread)
    ]
    stop = stop_tokens(base, tokenizer)
    arm = _WRITERS[options.one]
    arm(model, tokenizer, prompts[:1], stop)  # what happens once: kernels are chosen, pages mapped
    with measured() as cost:
        started = time.perf_counter()
        texts, tokens = arm(model, tokenizer, prompts, stop)
        seconds = time.perf_counter() - started
    return {
        "tokens_per_second": tokens / seconds,
        "texts": texts,
        "peak_memory_gib": cost.peak_memory_gib,
    }


Writer = Callable[[Any, Any, Sequence[Any], list[int]], tuple[list[str], int]]


def _padded(size: int) -> Writer:
    """Answer with transformers' own `generate`, `size` prompts of like length at once."""

    def write(
        model: Any, tokenizer: Any, prompts: Sequence[Any], stop: list[int]
    ) -> tuple[list[str], int]:
        from loraflow.evaluate.generate.padded import generate_padded

        rows = dict(generate_padded(model, tokenizer, prompts, batch_size=size, stop=stop))
        texts = [
            tokenizer.decode(rows[place], skip_special_tokens=True).strip()
            for place in range(len(prompts))
        ]
        return texts, sum(map(len, rows.values()))

    return write


def _slots(
    model: Any, tokenizer: Any, prompts: Sequence[Any], stop: list[int]
) -> tuple[list[str], int]:
    from loraflow.evaluate.generate.run import generate_answers
    from loraflow.evaluate.journal import Journal

    with tempfile.TemporaryDirectory() as scratch, Journal(Path(scratch) / "journal") as journal:
        answers, _ = generate_answers(
            model, tokenizer, prompts, batch_size=64, stop=stop, journal=journal
        )
    return [answer.text for answer in answers], sum(answer.tokens for answer in answers)


_WRITERS: dict[str, Writer] = {
    "one by one": _padded(1),
    "padded batches of 16": _padded(16),
    "padded batches of 64": _padded(64),
    "loraflow": _slots,
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--new", type=int, default=128, help="tokens at which an answer is cut")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--override", action="append", default=[], help="KEY=VALUE of conf/")
    for hidden in ("--one", "--result"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
