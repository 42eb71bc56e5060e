"""How fast a server answers 1, 4 and 16 clients: `make serve` against `transformers serve`.

python -m benchmarks.serve                               # prompts of the standard library
python -m benchmarks.serve --theirs=--continuous-batching --runs 3
python -m benchmarks.serve --adapters 3                  # loraflow with LoRA adapters, mixed

Both servers run for the whole benchmark, on loopback, with the same folder, type, questions and
greedy decoding; one is stopped while the other answers, in turns. Every question is asked once of
each side, so that nothing is answered from memory.
"""

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.serve_clients import Reply, Turn, ask_all
from benchmarks.serve_sides import Side, loraflow, transformers_serve

_LEAST, _MOST = 40, 120  # tokens of a prompt
_MEASURED = dict[int, list[tuple[Turn, Turn]]]
"""Clients -> pairs of turns, ours and theirs."""


def main() -> None:
    """Measure both sides in turns, and print a Markdown table."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # the servers end too
    _say(
        f"{psutil.cpu_count(logical=False)} cores, {options.dtype}, {options.tokens} tokens, "
        f"{options.runs} runs, transformers serve {options.theirs} {options.environment}, "
        f"load before {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as scratch, _sides(options, Path(scratch)) as (both, pool):
        for side in both:  # what happens once: kernels are chosen, pages mapped
            ask_all(side, 4, [next(pool) for _ in range(8)], 16)
        measured = _measure(both, pool, options)
    _say(f"load after {os.getloadavg()[0]:.1f}\n")
    _report(measured)


def _measure(both: Sequence[Side], pool: Iterator[str], options: argparse.Namespace) -> _MEASURED:
    measured: _MEASURED = {clients: [] for clients in options.clients}
    for run in range(options.runs):
        for clients, pairs in measured.items():
            questions = [next(pool) for _ in range(clients * options.each)]
            order = both if run % 2 == 0 else both[::-1]  # who comes first has no advantage
            turns = {side.name: ask_all(side, clients, questions, options.tokens) for side in order}
            pairs.append((turns[both[0].name], turns[both[1].name]))
            for name, turn in turns.items():
                sys.stderr.write(
                    f"run {run + 1}, {clients} clients: {name}: {turn.speed:.1f} tokens/s\n"
                )
    return measured


def _report(measured: _MEASURED) -> None:
    _say(
        "| clients | server | tokens/s, median (least to most) | times the other "
        "| first token s, p50 / p95 | answer s, p50 / p95 | busy cores beside |"
    )
    _say("|---:|---|---:|---:|---:|---:|---:|")
    for clients, pairs in measured.items():
        ratios = [ours.speed / theirs.speed for ours, theirs in pairs]
        ours, theirs = ([pair[place] for pair in pairs] for place in (0, 1))
        _say(f"| {clients} | loraflow | {_line(ours, _spread(ratios))}")
        _say(f"| {clients} | transformers serve | {_line(theirs, '')}")
    answers = [
        (ours.replies[question], theirs.replies[question])
        for turns in measured.values()
        for ours, theirs in turns
        for question in ours.replies
    ]
    _say(f"\n{len(answers)} answers a side: {_agreement(answers)}")


def _line(turns: Sequence[Turn], ratio: str) -> str:
    replies = [reply for turn in turns for reply in turn.replies.values()]
    first = _percentiles([reply.first for reply in replies])
    whole = _percentiles([reply.whole for reply in replies])
    others = statistics.median(turn.others for turn in turns)
    speeds = _spread([turn.speed for turn in turns])
    return f"{speeds} | {ratio} | {first} | {whole} | {others:.1f} |"


def _agreement(pairs: Sequence[tuple[Reply, Reply]]) -> str:
    same = sum(ours.text == theirs.text for ours, theirs in pairs)
    prompts = sum(ours.read == theirs.read for ours, theirs in pairs)
    tokens = [sum(pair[side].tokens for pair in pairs) for side in (0, 1)]
    return (
        f"{same} with the same text, {prompts} with as many tokens read; "
        f"written {tokens[0]} and {tokens[1]}"
    )


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _percentiles(values: Sequence[float]) -> str:
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return f"{cuts[9]:.2f} / {cuts[18]:.2f}"


@contextmanager
def _sides(
    options: argparse.Namespace, scratch: Path
) -> Iterator[tuple[list[Side], Iterator[str]]]:
    """Yield both sides, and questions that were not asked yet."""
    from hydra import compose, initialize_config_dir

    from flows.command import CONF, to_settings
    from loraflow.check import load_config
    from loraflow.model.source import find_base

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = load_config(to_settings(compose("config", overrides=options.override)))
    folder = find_base(config.model, config.quantization).folder
    adapters = {
        f"adapter{number}": _make_adapter(folder, number, scratch / f"adapter{number}")
        for number in range(options.adapters)
    }
    environment = dict(word.split("=", 1) for word in options.environment)
    theirs = transformers_serve(folder, options.dtype, scratch, options.theirs, environment)
    ours = loraflow(folder, options.dtype, scratch, adapters)
    with ours as our_side, theirs as their_side:
        yield [our_side, their_side], _questions(folder)


def _questions(folder: Path) -> Iterator[str]:
    """Yield real questions of a usual length, one of each kind of object after the other."""
    from transformers import AutoTokenizer

    from loraflow.data.read.pydoc import read_pydoc

    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = "Explain in a few sentences what this Python object is for, and give an example."
    asked = [f"{row['input']}\n\n{row['instruction']}" for row in read_pydoc(words)]
    random.Random(0).shuffle(asked)
    return (text for text in asked if _LEAST <= len(tokenizer(text)["input_ids"]) <= _MOST)


def _make_adapter(folder: Path, seed: int, place: Path) -> Path:
    """Write a LoRA of usual size that changes every answer a little."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=1e-3)
    model.save_pretrained(place)
    return place


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--each", type=int, default=2, help="questions a client and run")
    parser.add_argument("--tokens", type=int, default=64, help="at which an answer is cut")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--adapters", type=int, default=0, help="that loraflow answers with")
    parser.add_argument("--theirs", action="append", default=[], help="word for transformers serve")
    parser.add_argument(
        "--environment", action="append", default=[], help="NAME=VALUE for transformers serve"
    )
    parser.add_argument("--override", action="append", default=[], help="KEY=VALUE of conf/")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
