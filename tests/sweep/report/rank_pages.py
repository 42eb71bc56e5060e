"""Sweeps as the stages would leave them, small and large, in English and Chinese."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from loraflow.sweep.report.content import Cost, Dimension, RankPage, State, Trial, Value
from loraflow.sweep.report.gather import Question, gather
from loraflow.sweep.report.scores import Measured

RANKS = (1, 2, 4, 8, 16, 32)
TARGETS = ("attention_qv", "attention", "all_linear")
FACTS = (
    ("base model", "SmolLM2-135M-Instruct"),
    ("quantization", "nf4"),
    ("data", "pydoc"),
    ("template", "native"),
    ("seeds", "0, 1"),
)
BASE = "base model"
_KEYS = {"r": "adapter.r", "learning_rate": "train.learning_rate"}
_LONELY = 0.62  # of the gain with one matrix a layer; more matrices need less r
_STEPS = 60

Values = Mapping[str, Value]


def sweep_page(
    space: Mapping[str, Sequence[Value]],
    *,
    seeds: Sequence[int] = (0, 1),
    items: int = 120,
    metric: str = "rougeL",
    more: Sequence[Measured] = (),
) -> RankPage:
    """Return the page of all combinations, each with every seed, and of the base model."""
    measured = [run(BASE, {}, 0, items=items, metric=metric)]
    for values in combinations(space):
        name = name_of(values)
        measured += [run(name, values, seed, items=items, metric=metric) for seed in seeds]
    return page_of([*measured, *more], space, metric=metric)


def page_of(
    measured: Sequence[Measured],
    space: Mapping[str, Sequence[Value]],
    *,
    tuned: Sequence[str] = (),
    metric: str = "rougeL",
    chosen: Sequence[str] | None = None,
) -> RankPage:
    """Return the page of runs that vary in `space`; `tuned` names what was not compared."""
    dimensions = [
        Dimension(name, _KEYS.get(name, f"set.{name}"), list(values), name not in tuned)
        for name, values in space.items()
    ]
    question = Question(
        "SmolLM2-135M-Instruct: rank by targets", metric, 0.02, "sft", dimensions, list(FACTS)
    )
    return gather(question, measured, chosen)


def combinations(space: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def name_of(values: Values) -> str:
    return " ".join(
        value if isinstance(value, str) else f"{name}={value}" for name, value in values.items()
    )


def run(
    arm: str, values: Values, seed: int, *, items: int = 120, metric: str = "rougeL"
) -> Measured:
    """Return a finished trial whose answers get better with r, and with more matrices."""
    draw = np.random.default_rng([seed, *arm.encode("utf-8", "surrogatepass")])
    hard = np.random.default_rng(7).normal(0, 0.08, items)  # the same items for all
    gain = _gain(values) + draw.normal(0, 0.004)
    scores = np.clip(0.13 + 0.15 * gain + hard + draw.normal(0, 0.05, items), 0, 1)
    if metric == "loss":
        scores = 3.4 - 2.2 * scores
    if metric == "accuracy":
        scores = (scores > 0.22).astype(float)
    rows = [
        {"id": str(place), _FIELDS.get(metric, metric): float(score), "tokens": 12}
        for place, score in enumerate(scores)
    ]
    size = _size(values)
    cost = Cost(
        seconds=60 + 30 * math.log1p(size / 1e5) + draw.normal(0, 4) if values else 0.0,
        evaluate_seconds=42 + draw.normal(0, 3),
        tokens=32_466 if values else 0,
        trainable_parameters=size,
        peak_memory_gib=3.1 + size / 4e6 if values else 0.8,
        energy_joules=None if seed else 41_000.0,
    )
    losses = _losses(draw, gain) if values else []
    trial = Trial(
        name=arm if arm == BASE else f"{arm} seed={seed}",
        arm=arm,
        values=values,
        seed=seed,
        state="finished",
        cost=cost,
        losses=losses,
        validation=[(step, loss + 0.1) for step, loss in losses[9::10]],
        url="http://127.0.0.1:5000/#/experiments/1/runs/abc",
    )
    metrics = {metric: float(scores.mean()), "bleu": 4 + 9 * gain, "chrf": 20 + 14 * gain}
    return Measured(trial, rows, metrics, 4.0 if values else None, is_control=not values)


def far_page(space: Mapping[str, Sequence[Value]]) -> RankPage:
    """Return arms that lie close together, and a base model that is far worse."""
    far = run(BASE, {}, 0, items=50, metric="loss")
    high = [{**item, "loss": item["loss"] + 5} for item in far.items]
    runs = [run(name_of(one), one, 0, items=50, metric="loss") for one in combinations(space)]
    return page_of([replace(far, items=high), *runs], space, metric="loss")


def unfinished(arm: str, values: Values, seed: int, state: State, reason: str = "") -> Measured:
    """Return a trial that ended early, or has not begun."""
    whole = run(arm, values, seed).trial
    end = 0 if state == "waiting" else 20 + 5 * seed
    return Measured(
        replace(
            whole,
            state=state,
            reason=reason,
            score=None,
            cost=None,
            losses=[*whole.losses[:end], *([(end + 1, math.nan)] if state == "failed" else [])],
            validation=[point for point in whole.validation if point[0] <= end],
            url=whole.url if state == "pruned" else "",
        )
    )


def realistic_page() -> RankPage:
    """Return 21 arms with two seeds; one more trial failed, and one is waiting."""
    more: Values = {"r": 128, "target_modules": "all_linear"}
    reason = "CUDA out of memory: 2.1 GiB asked for, 1.4 free; lower adapter.r or the batch"
    return sweep_page(
        {"r": [*RANKS, 64], "target_modules": TARGETS},
        items=240,
        more=[
            unfinished("r=128 all_linear", more, 0, "failed", reason),
            unfinished("r=128 all_linear", more, 1, "waiting"),
        ],
    )


@cache
def many_arms_page() -> RankPage:
    """Return 120 arms with one seed; made once, since comparing all pairs takes seconds."""
    sets = [f"set {place}" for place in range(8)]
    return sweep_page({"r": range(1, 16), "target_modules": sets}, seeds=(0,), items=10)


def tuned_page(ranks: Sequence[Value] = (1, 4, 16, 64), tries: int = 8) -> RankPage:
    """Return a search of the learning rate for each r: hopeless ones pruned, one failed."""
    draw = np.random.default_rng(3)
    measured, chosen = [run(BASE, {}, 0)], [BASE]
    rates: list[Value] = []
    for rank in ranks:
        for place in range(tries):
            rate = round(float(10 ** draw.uniform(-4.3, -2.7)), 6)
            rates.append(rate)
            values = {"r": rank, "learning_rate": rate}
            name = name_of(values)
            if place == 1:
                chosen.append(name)
                measured += [run(name, values, seed) for seed in (0, 1)]
            elif place == tries - 1 and rank == ranks[-1]:
                reason = "the loss was not a number at step 21; lower train.learning_rate"
                measured.append(unfinished(name, values, 0, "failed", reason))
            elif place % 3:
                measured.append(
                    unfinished(name, values, 0, "pruned", "step 20: loss 2.91, the median is 2.64")
                )
            else:
                measured.append(run(name, values, 0))
    space: dict[str, Sequence[Value]] = {
        "r": ranks,
        "learning_rate": sorted(rates, key=lambda rate: float(rate or 0)),
    }
    return page_of(measured, space, tuned=["learning_rate"], chosen=chosen)


_FIELDS = {"accuracy": "correct"}


def _gain(values: Values) -> float:
    """Return a number between 0 and about 1 that saturates with r."""
    if not values:
        return 0.0
    rank = values.get("r", 8)
    size = math.log2(max(1.0, float(rank))) / 5 if isinstance(rank, int | float) else 0.6
    others = [str(value) for name, value in values.items() if name not in ("r", "learning_rate")]
    lift = sum(len(word) % 7 for word in others) / 30 + 0.1 * ("all_linear" in others)
    rate = values.get("learning_rate")
    loss = 0.4 * abs(math.log10(float(rate)) + 3.5) if isinstance(rate, float) else 0.0
    return min(1.0, (1 if "all_linear" in others else _LONELY) * (0.25 + size) + lift) - loss


def _size(values: Values) -> int:
    if not values:
        return 0
    rank = values.get("r", 8)
    matrices = {"attention_qv": 57_600, "attention": 115_200, "all_linear": 305_280}
    known = [matrices[value] for value in values.values() if value in matrices]
    return int((known or [90_000 + 7 * len(str(values))])[0] * float(rank or 1))


def _losses(draw: np.random.Generator, gain: float) -> list[tuple[int, float]]:
    return [
        (step, 4.2 - (0.9 + 0.6 * gain) * math.log10(step) + float(draw.normal(0, 0.12)))
        for step in range(1, _STEPS + 1)
    ]
