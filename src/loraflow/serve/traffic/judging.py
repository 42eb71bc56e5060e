"""A judge compares what users saw with answers in the shadow, once it has been tested itself."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loraflow.data.records import Record
from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.asking import ask, journal_key
from loraflow.evaluate.judge.base import Exchange, Game, Judge, Verdict
from loraflow.evaluate.judge.examine import examine, exchanges_of, read_card
from loraflow.evaluate.judge.opening import Bench
from loraflow.files import read_json, write_json
from loraflow.serve.traffic.replies import all_answered
from loraflow.serve.traffic.shadows import Judged, ShadowPair
from loraflow.store import Key, Store, Summary, make_key

_RESULT = "games.json"
_VERSION = 2


def judge_pairs(
    bench: Bench, pairs: Sequence[ShadowPair], *, settings: Any, card_rows: int, folder: Path
) -> Judged:
    """Have the judge compare each pair in both orders; what it said before is not asked again.

    The judge is first tested: can it tell the logged answers from spoilt ones? An empty answer
    loses without a judge. `settings` are all that judgments depend on, as JSON values. Everything
    is kept below `folder`.

    Raises:
        UserError: if calls of the judge got no answer; the next run goes on.
    """
    decided = {pair.id: _by_emptiness(pair) for pair in pairs if _is_empty(pair)}
    asked = _exchanges([pair for pair in pairs if pair.id not in decided])
    unfit = len(pairs) - len(decided) - len(asked)
    if not asked:
        return Judged("", decided, len(decided), 0, unfit, trusted=bool(decided), sentences=[])
    fit = {pair.id: pair for pair in pairs if pair.id in asked}
    store = Store(folder, config_key="serve.folder")
    replies = store.work(make_key("replies", _VERSION, settings=settings))
    rows = list(asked.values())[:card_rows]
    tested = make_key("card", _VERSION, settings=settings, rows=_digest(rows))
    played = make_key("games", _VERSION, reads=[tested], pairs=_digest([*fit.values()]))

    def test(out: Path) -> Summary:
        with all_answered(replies):
            return examine(bench, rows, labels=None, work=replies, out=out)

    def play(out: Path) -> Summary:
        with all_answered(replies):
            return _play(bench, fit, asked, (store.folder(tested), replies, out))

    with store.lock(make_key("judging", _VERSION)):  # one process at a time writes the replies
        store.run(tested, test)
        store.run(played, play)
        _delete_older(store.folder(played))
        found = _read(store, (tested, played), decided, unfit)
    return found


def _is_empty(pair: ShadowPair) -> bool:
    return not (pair.candidate.strip() and pair.control.strip())


def _by_emptiness(pair: ShadowPair) -> int:
    """Return 1 if the control alone is empty, -1 if the candidate alone is, else 0."""
    return bool(pair.candidate.strip()) - bool(pair.control.strip())


def _exchanges(pairs: Sequence[ShadowPair]) -> dict[str, Exchange]:
    """Return what the user saw, as a judge reads it: the last two questions and answers."""
    records = (
        (pair.id, Record((*pair.messages, {"role": "assistant", "content": pair.control})))
        for pair in pairs
    )
    return {found.id: found for found in exchanges_of(records, len(pairs))}


def _digest(rows: Sequence[Exchange] | Sequence[ShadowPair]) -> str:
    """Name texts of users without a copy of them."""
    text = json.dumps([asdict(row) for row in rows])
    return hashlib.sha256(text.encode()).hexdigest()


def _play(
    bench: Bench,
    pairs: Mapping[str, ShadowPair],
    asked: Mapping[str, Exchange],
    folders: tuple[Path, Path, Path],
) -> Summary:
    card, replies, out = folders
    reading, found, _ = read_card(card)
    with (
        bench.judge(reading, found.scale) as judge,
        Journal(replies / f"{reading}.jsonl") as journal,
    ):
        games = {id: _games(judge, asked[id], pair.candidate) for id, pair in pairs.items()}
        keys = {
            (id, place): journal_key(id, place, judge.name, judge.prompt_hash(game))
            for id, both in games.items()
            for place, game in enumerate(both)
        }
        by_key = {key: games[id][place] for (id, place), key in keys.items()}
        verdicts = ask("compare", by_key, journal, judge.play, Verdict)
        name = judge.name
    values = {
        id: _value([verdicts[keys[id, place]] for place in range(len(both))])
        for id, both in games.items()
    }
    write_json(out / _RESULT, {"judge": name, "values": values})
    return {"counts": {"pairs": len(values)}, "metrics": {}}


def _games(judge: Judge, seen: Exchange, candidate: str) -> tuple[Game, ...]:
    """Return the pair with the control shown first; the other way too, if that can matter."""
    other = (*seen.answers[:-1], candidate)
    control_first = Game(seen.id, seen.questions, seen.answers, other)
    if not judge.sees_both:
        return (control_first,)
    return control_first, Game(seen.id, seen.questions, other, seen.answers)


def _value(verdicts: Sequence[Verdict]) -> int | None:
    """Return 1 if the candidate won in each order, -1 if it lost, else a tie; None: a failure."""
    if any(verdict.winner is None for verdict in verdicts):
        return None
    wins = {"a": -1, "b": 1, "tie": 0}
    values = [
        -wins[str(one.winner)] if place else wins[str(one.winner)]
        for place, one in enumerate(verdicts)
    ]
    return values[0] if len(set(values)) == 1 else 0


def _delete_older(games: Path) -> None:
    """Keep the latest verdicts alone: they have those before in them, and replies are kept."""
    for folder in games.parent.iterdir():
        if folder != games:
            shutil.rmtree(folder, ignore_errors=True)


def _read(store: Store, keys: tuple[Key, Key], decided: Mapping[str, int], unfit: int) -> Judged:
    tested, played = keys
    _, card, file = read_card(store.folder(tested))
    result = read_json(store.folder(played) / _RESULT)
    values = {id: value for id, value in result["values"].items() if value is not None}
    failed = len(result["values"]) - len(values)
    return Judged(
        judge=result["judge"],
        values={**values, **decided},
        empty=len(decided),
        failed=failed,
        unfit=unfit,
        trusted=card.trusted,
        sentences=file["sentences"],
    )
