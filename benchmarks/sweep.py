"""A search of 12 trainings in one command, against 12 separate runs of plain libraries.

python -m benchmarks.sweep                      # all of both; an hour on two cores
python -m benchmarks.sweep --plain-trials 3     # the plain total is projected from three runs
python -m benchmarks.sweep --plain-trials 0 --pruning null   # what a sweep costs beside its trials

The question is which r is enough, each r with the best of several learning rates. A plain run is a
process of its own that prepares the data, loads the base in 4 bits, trains with TRL's SFTTrainer
and its defaults, measures the loss on training rows apart, by which the rate is chosen, and answers
the held-out rows with transformers' generate in padded batches. loraflow does all of it with one
`make sweep`, in which one rate of each r trains to its end. The base model is on this disk before
either side's clock starts, is evaluated once on both sides, and the same statistics choose a rank
from the answers.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.sweep_sides import BASE, Items, Side, Trial, have_base, run_loraflow, run_plain

OURS, PLAIN = "loraflow, one sweep", "plain, separate runs"


def main() -> None:
    """Run both sides and print what they took and recommend."""
    options = _options()
    if options.one:
        from benchmarks.sweep_plain import run_one

        Path(options.result).write_text(
            json.dumps(run_one(json.loads(options.one), Path(options.folder)))
        )
        return
    trials = [Trial(rank, rate) for rank in options.ranks for rate in options.rates]
    cores, words = psutil.cpu_count(logical=False), _words(options)
    _say(f"{cores} cores, {len(trials)} trials: {' '.join(words)}")
    have_base(words)
    sides = {OURS: run_loraflow(options.ranks, options.rates, words, options.pruning)}
    _note(f"loraflow: {sides[OURS].wall:.0f} s")
    if count := min(options.plain_trials, len(trials)):
        spread = [trials[at * len(trials) // count] for at in range(count)]
        sides[PLAIN] = run_plain(spread, len(trials), words)
    _report(sides, is_whole=count == len(trials))


def _report(sides: Mapping[str, Side], *, is_whole: bool) -> None:
    ours, plain = sides[OURS], sides.get(PLAIN)
    _say("\n| | whole, s | full trials | one of them, s: median (least to most) | smallest r |")
    _say("|---|---:|---:|---:|---|")
    for name, side in sides.items():
        shown = (
            f"{statistics.median(side.trials):.0f} "
            f"({min(side.trials):.0f} to {max(side.trials):.0f})"
        )
        found = _recommended(side.items) if side is ours or is_whole else "not all were run"
        _say(f"| {name} | {side.wall:.0f} | {len(side.trials)} | {shown} | {found} |")
    _say(
        f"\nloraflow / its own training and evaluation, {ours.worked:.0f} s: "
        f"{ours.wall / ours.worked:.3f}"
    )
    if plain is None:
        return
    _say(f"plain / loraflow: {plain.wall / ours.wall:.2f}")
    if not is_whole:
        _say(f"The plain total is projected from {len(plain.trials)} of its runs.")


def _recommended(items: Items) -> str:
    from loraflow.compare.arms import compare_arms
    from loraflow.compare.recommend import recommend

    sizes = {arm: float(arm.partition("=")[2] or 0) for arm in items}
    measured = {arm: [rows] for arm, rows in items.items()}
    found = recommend(compare_arms(measured, "rougeL", margin=0.02), sizes, controls=[BASE])
    return f"{found.arm or found.kind}: {found.sentence}"


def _words(options: argparse.Namespace) -> list[str]:
    """Return what both sides set on loraflow's command line."""
    return [
        f"data.train_rows={options.rows}",
        f"data.split.held_out_rows={options.held_out}",
        f"train.max_steps={options.steps}",
        f"train.per_device_train_batch_size={options.batch}",
        "train.gradient_accumulation_steps=1",
        f"train.early_stopping={{rows: {options.apart}, steps: {options.look}, patience: 1000}}",
        f"evaluate.max_new_tokens={options.new}",
        "evaluate.probes=[]",
        "judge=none",
        *options.override,
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rates = [1e-3, 5e-4, 2e-3, 2.5e-4, 4e-3, 1.25e-4]
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--rates", type=float, nargs="+", default=rates, help="of learning")
    parser.add_argument("--rows", type=int, default=500, help="to train on, those apart included")
    parser.add_argument("--apart", type=int, default=20, help="rows by which a rate is chosen")
    parser.add_argument("--look", type=int, default=5, help="steps between looks at them")
    parser.add_argument("--held-out", type=int, default=60, help="rows that are answered")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8, help="rows of a step")
    parser.add_argument("--new", type=int, default=32, help="tokens after which answers are cut")
    parser.add_argument("--plain-trials", type=int, default=12, help="of the plain side; 0: none")
    parser.add_argument("--pruning", default="halving", help="of loraflow's side; null: none")
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
