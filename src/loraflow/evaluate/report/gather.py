"""Brings what the stages of an evaluation left into the form that tables and pages show."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loraflow.compare.aggregate import paired
from loraflow.compare.metrics import METRICS, Item, counted
from loraflow.evaluate.judge.examine import read_card
from loraflow.evaluate.outputs import ArmOutputs, EvaluationOutputs
from loraflow.evaluate.report import content
from loraflow.evaluate.report.bench import gather_bench
from loraflow.evaluate.report.cards import gather_card
from loraflow.evaluate.report.content import EvaluationPage, Sample, Score
from loraflow.evaluate.report.findings import find
from loraflow.evaluate.report.notes import FAILURES, OWN, UNTRUSTED
from loraflow.files import ITEMS, read_json, read_lines

_ALL = "all"
_DIGITS = {"bleu": 2, "chrf": 1, "perplexity": 2, "judge_rating": 2, "answer_characters": 0}
_NOT_TEXT = ("answer", "reference", "chosen")
_PER_ITEM = (  # metrics by which items can be sorted
    *("accuracy", "choice_accuracy", "rougeL", "rouge1", "exact_match", "loss", "bits_per_byte"),
    *("judge_rating", "prefers_chosen", "chosen_margin", "repetition", "self_consistency"),
)


def gather(
    outputs: EvaluationOutputs, title: str, facts: Sequence[tuple[str, str]] = ()
) -> EvaluationPage:
    """Return what the evaluation shows: every number with its interval, every item."""
    arms = {name: _items(arm) for name, arm in outputs.arms().items()}
    cards = [folder for folder in (outputs.card, outputs.bench_card) if folder is not None]
    reserved = _reservation(outputs)
    scores = _scores(arms, note=lambda name: reserved if name == "judge_rating" else "")
    probes = _probes(outputs)
    bench = gather_bench(outputs)
    note = str(read_json(outputs.base.evaluate / "result.json").get("note", ""))
    return EvaluationPage(
        title=title,
        facts=facts,
        findings=[*find(scores, probes, bench), *_unrated(arms), *([note] if note else [])],
        scores=scores,
        probes=probes,
        bench=bench,
        cards=[gather_card(folder) for folder in cards],
        items=[_item(*row) for row in zip(*arms.values(), strict=True)],
        prompts=_prompts(outputs),
    )


def _reservation(outputs: EvaluationOutputs) -> str:
    """Return why the judge's ratings say nothing of base against tuned; empty if they do."""
    if outputs.card is None:
        return ""
    _, card, file = read_card(outputs.card)
    if not card.trusted:
        return UNTRUSTED
    return OWN if file["own"] and outputs.tuned is not None else ""


def _items(arm: ArmOutputs) -> list[dict[str, Any]]:
    """Return what an arm made of the held-out rows, with the judge's ratings."""
    items = read_lines(arm.evaluate / ITEMS)
    if arm.grade is None:
        return items
    grades = {row["id"]: row for row in read_lines(arm.grade / ITEMS)}
    return [{**item, **grades[item["id"]]} for item in items]


def _scores(
    arms: Mapping[str, Sequence[Item]], note: Callable[[str], str], only: Sequence[str] = ()
) -> list[Score]:
    base, tuned = arms["base"], arms.get("tuned")
    return [
        Score(
            name,
            METRICS[name].meaning,
            METRICS[name].larger_is_better,
            *numbers,
            note=note(name),
            digits=_DIGITS.get(name, 3),
            items=len(counted(METRICS[name], base)),
        )
        for name, numbers in paired(base, tuned).items()
        if not only or name in only
    ]


def _unrated(arms: Mapping[str, Sequence[Item]]) -> list[str]:
    """Say how many answers of each arm the mean rating is of, if a judgment failed."""
    kinds = {name: [item.get("judge_failure") for item in arm] for name, arm in arms.items()}
    counts = {name: Counter(kind for kind in found if kind) for name, found in kinds.items()}
    if not any(counts.values()):
        return []
    said = []
    for name, failed in counts.items():
        why = ", ".join(f"{count} {FAILURES[kind]}" for kind, count in failed.items())
        rated = f"{name} {len(arms[name]) - failed.total()} of {len(arms[name])}"
        said.append(f"{rated} ({why})" if why else rated)
    return [f"judge_rating is the mean of the answers that were rated: {', '.join(said)}."]


def _probes(outputs: EvaluationOutputs) -> list[Score]:
    """Return accuracy on what tuning did not touch: of all probes, and of each kind."""
    arms = {
        name: _without_texts(read_lines(arm.probe / ITEMS))
        for name, arm in outputs.arms().items()
        if arm.probe is not None
    }
    if not arms:
        return []
    kinds = [_ALL, *dict.fromkeys(item["kind"] for item in arms["base"])]
    return [
        content.Score(
            kind.replace("_", " "),
            f"share of right options, {'all probes' if kind == _ALL else kind.replace('_', ' ')}",
            True,
            score.base,
            score.tuned,
            score.difference,
            items=score.items,
        )
        for kind in kinds
        for score in _scores(
            {
                name: [item for item in items if kind in (_ALL, item["kind"])]
                for name, items in arms.items()
            },
            lambda name: "",
            only=["choice_accuracy"],
        )
    ]


def _without_texts(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Leave out fields that mean something else for held-out rows."""
    return [
        {name: value for name, value in item.items() if name not in _NOT_TEXT} for item in items
    ]


def _item(*arms: Item) -> content.Item:
    base, tuned = arms[0], arms[1] if len(arms) > 1 else None
    fields = {name: METRICS[name].needs for name in _PER_ITEM}
    answers = {
        name: item.get("answer", "")
        for name, item in zip(content.ARMS, arms, strict=False)
        if "answer" in item
    }
    return content.Item(
        id=base["id"],
        prompt=base.get("prompt", base.get("text", "")),
        reference=base.get("reference", ""),
        answers=answers,
        scores={
            name: (base[field], None if tuned is None else tuned.get(field))
            for name, field in fields.items()
            if base.get(field) is not None
        },
        notes=[
            f"{name}: the answer was cut at evaluate.max_new_tokens"
            for name, item in zip(content.ARMS, arms, strict=False)
            if item.get("cut")
        ],
    )


def _prompts(outputs: EvaluationOutputs) -> list[Sample]:
    folders: dict[str, Path] = {
        name: arm.prompts for name, arm in outputs.arms().items() if arm.prompts is not None
    }
    arms = [read_lines(folder / ITEMS) for folder in folders.values()]
    return [
        Sample(
            row[0]["prompt"],
            {name: item["answer"] for name, item in zip(folders, row, strict=True)},
        )
        for row in zip(*arms, strict=True)
    ]
