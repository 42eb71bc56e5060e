"""Stage: a judge is tested on answers of known order before its ratings are shown."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from loraflow.data.records import Record
from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.agreement import measure_agreement, read_votes
from loraflow.evaluate.judge.asking import RememberedJudge
from loraflow.evaluate.judge.base import Exchange
from loraflow.evaluate.judge.calibrate import make_card
from loraflow.evaluate.judge.card import Card, choose_reading
from loraflow.evaluate.judge.card_text import sentences
from loraflow.evaluate.judge.opening import Bench, usage_of
from loraflow.evaluate.judge.scale import Scale
from loraflow.files import read_json, write_json

_FILE = "card.json"
_SEED = 0
_TURNS = 2  # the last ones: as many as MT-Bench's prompts show
_REPEATS = 1  # how often some rows are graded again


def examine(
    bench: Bench, rows: Sequence[Exchange], *, labels: Path | None, work: Path, out: Path
) -> dict[str, Any]:
    """Write card.json, the judge's cards and the reading that is taken, to `out`; return counts.

    `labels` are votes of people to compare the judge's verdicts with.
    """
    cards: dict[str, Card] = {}
    usage: dict[str, Any] = {}
    for reading in bench.readings():
        with (
            bench.judge(reading, Scale.neutral()) as judge,
            Journal(work / f"{reading}.jsonl") as journal,
        ):
            remembered = RememberedJudge(judge, journal)
            cards[reading] = make_card(remembered, rows, seed=_SEED, repeats=_REPEATS)
            usage = usage_of(judge)
    reading = choose_reading(cards)
    agreement = None
    if labels is not None:
        votes = read_votes(labels)
        with bench.judge(reading, cards[reading].scale) as judge:
            verdicts = judge.play([vote.game for vote in votes], lambda place, verdict: None)
            agreement = measure_agreement(votes, verdicts, seed=_SEED).as_dict()
            usage = usage_of(judge)
    card = {
        "reading": reading,
        "cards": {name: card.as_dict() for name, card in cards.items()},
        "sentences": sentences(cards[reading]),
        "agreement": agreement,
        "own": bench.is_base,
    }
    write_json(out / _FILE, card)
    accuracy = cards[reading].accuracy
    metrics = {} if accuracy is None else {"accuracy": accuracy.value}
    return {"counts": {"rows": len(rows)}, "metrics": metrics, "reading": reading, **usage}


def read_card(folder: Path) -> tuple[str, Card, dict[str, Any]]:
    """Return the reading that was taken, its card, and all that the file says."""
    file = read_json(folder / _FILE)
    return file["reading"], Card.from_dict(file["cards"][file["reading"]]), file


def exchanges_of(records: Iterable[tuple[str, Record]], most: int) -> list[Exchange]:
    """Return questions and answers of the first rows that have both."""
    found = (_exchange(name, record) for name, record in records)
    return list(islice((exchange for exchange in found if exchange is not None), most))


def _exchange(name: str, record: Record) -> Exchange | None:
    """Pair questions with answers; None for a conversation that does not go back and forth."""
    asked = [*record.prompt, {"role": "assistant", "content": record.answer}]
    talk = [message for message in asked if message["role"] != "system"]
    roles = [message["role"] for message in talk]
    texts = tuple(message["content"] for message in talk)
    if roles != ["user", "assistant"] * (len(roles) // 2) or not record.answer.strip():
        return None
    return Exchange(name, texts[::2][-_TURNS:], texts[1::2][-_TURNS:])
