"""Asks a judge for what is not known yet, and keeps each reply as soon as it is there."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.base import Exchange, Game, Grade, Judge, Verdict
from loraflow.progress import progress

Asked = TypeVar("Asked", Exchange, Game)
Reply = TypeVar("Reply", Grade, Verdict)


def journal_key(*parts: str | int) -> str:
    """Join what names a judgment, so that no two are mistaken for each other."""
    return json.dumps(parts)


def ask(
    what: str,
    asked: Mapping[str, Asked],
    journal: Journal,
    method: Callable[[Sequence[Asked], Callable[[int, Reply], None]], list[Reply]],
    kind: type[Reply],
) -> dict[str, Reply]:
    """Return a reply of the kind for each of `asked`, by key; only what is not known yet is asked.

    Each reply is in the journal as soon as it is there. Failures are too, and are asked again.
    """
    known = {key: kind(**journal.done[key]) for key in asked if key in journal.done}
    replies = {key: reply for key, reply in known.items() if not reply.failure}
    missing = [key for key in asked if key not in replies]
    with progress(what, len(asked), "judgments") as bar:
        bar.update(len(replies))

        def keep(place: int, reply: Reply) -> None:
            journal.add(missing[place], asdict(reply))
            replies[missing[place]] = reply
            bar.update(1)

        if missing:
            method([asked[key] for key in missing], keep)
    return replies


class RememberedJudge:
    """A judge whose replies outlive the process: the same test, begun again, goes on.

    What is asked twice is judged twice, so that it can be seen whether a judge says the same again.
    """

    def __init__(self, judge: Judge, journal: Journal) -> None:
        """Ask `judge` for what is not in the journal."""
        self._judge = judge
        self._journal = journal
        self._times: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The judge's."""
        return self._judge.name

    @property
    def sees_both(self) -> bool:
        """As the judge."""
        return self._judge.sees_both

    def prompt_name(self, exchange: Exchange | Game) -> str:
        """As the judge."""
        return self._judge.prompt_name(exchange)

    def prompt_hash(self, exchange: Exchange | Game) -> str:
        """As the judge."""
        return self._judge.prompt_hash(exchange)

    def grade(
        self, exchanges: Sequence[Exchange], done: Callable[[int, Grade], None]
    ) -> list[Grade]:
        """Grade each; `done` hears of all at the end."""
        asked = {self._key("grade", exchange): exchange for exchange in exchanges}
        replies = ask("test the judge", asked, self._journal, self._judge.grade, Grade)
        return self._heard([replies[key] for key in asked], done)

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        """Say who wins each game; `done` as in `grade`."""
        asked = {self._key("play", game): game for game in games}
        replies = ask("test the judge", asked, self._journal, self._judge.play, Verdict)
        return self._heard([replies[key] for key in asked], done)

    def _key(self, kind: str, asked: Exchange | Game) -> str:
        known = journal_key(kind, self.name, self.prompt_hash(asked))
        self._times[known] += 1
        return journal_key(known, self._times[known])

    def _heard(self, replies: list[Reply], done: Callable[[int, Reply], None]) -> list[Reply]:
        for place, reply in enumerate(replies):
            done(place, reply)
        return replies
