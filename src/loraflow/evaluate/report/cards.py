"""Brings a judge's card into the form of the page."""

from pathlib import Path
from typing import Any

from loraflow.compare.statistics import Interval
from loraflow.evaluate.judge.card import Card
from loraflow.evaluate.judge.examine import read_card
from loraflow.evaluate.report.content import JudgeCard

_MEANINGS = {
    "wrong_question": "the answer to another question",
    "shuffled": "the same words in another order",
    "truncated": "the first third alone",
    "empty": "nothing",
    "refusal": "a polite refusal",
    "repeated": "one clause over and over",
}


def gather_card(folder: Path) -> JudgeCard:
    """Return the card that the stage `examine` left in `folder`."""
    _, card, file = read_card(folder)
    return JudgeCard(
        name=card.judge,
        trusted=card.trusted,
        sentences=file["sentences"],
        kinds=[
            (kind.kind.replace("_", " "), _MEANINGS[kind.kind], kind.accuracy, kind.pairs)
            for kind in card.kinds
        ],
        pooled=card.accuracy,
        figures=[*_figures(card), *_others(card, file), *_agreement(file)],
    )


def _figures(card: Card) -> list[tuple[str, str]]:
    failed = card.failures
    figures = [
        ("answers tested", f"{card.rows}"),
        ("failed judgments", f"{failed.call + failed.format} of {failed.judgments}"),
    ]
    if card.flips is not None:
        figures.append(
            ("position flips", f"{card.flips.rate.as_share()} of {card.flips.games} games")
        )
    if card.length_rating is not None:
        span = card.length_rating
        text = f"{span.value:+.2f} ({span.low:+.2f} to {span.high:+.2f}) points"
        figures.append(("for twice the length", text))
    if card.consistency is not None:
        figures.append(("same rating when asked again", f"{card.consistency.identical:.0%}"))
    return figures


def _others(card: Card, file: dict[str, Any]) -> list[tuple[str, str]]:
    """Show the readings that were not taken."""
    others = {name: Card.from_dict(values) for name, values in file["cards"].items()}
    return [
        (f"reading {name}, not taken", f"{other.accuracy:.2f}" if other.accuracy else "no result")
        for name, other in others.items()
        if name != file["reading"]
    ]


def _agreement(file: dict[str, Any]) -> list[tuple[str, str]]:
    found = file["agreement"]
    if found is None:
        return []
    rows = []
    for name, part in (("with ties", "with_ties"), ("without ties", "without_ties")):
        raw, kappa = found[part]["raw"], found[part]["kappa"]
        if raw is not None:
            text = f"{Interval(**raw):.2f} of {found[part]['items']}"
            if kappa is not None:
                text += f", kappa {Interval(**kappa):.2f}"
            rows.append((f"agreement with people, {name}", text))
    return rows
