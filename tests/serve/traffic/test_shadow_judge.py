"""A judge compares what users saw with what the shadow said, in both orders, and once only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.evaluate.judge.base import Exchange, Game, Grade, Judge, Verdict
from loraflow.evaluate.judge.opening import Bench
from loraflow.evaluate.judge.scale import Scale
from loraflow.model.lend import ModelLender
from loraflow.model.source import BaseModel
from loraflow.serve.traffic.arms import pairing_of
from loraflow.serve.traffic.judging import judge_pairs
from loraflow.serve.traffic.shadows import ShadowPair, pairs_of
from loraflow.serve.traffic.table import reading
from tests.conftest import composed
from tests.serve.traffic.made_traffic import START, exchange, write_log


class LongerWins:
    """A judge that likes long answers; of equal ones the first that it is shown."""

    name = "longer"
    sees_both = True

    def __init__(self) -> None:
        self.games = 0

    def prompt_name(self, exchange: Exchange | Game) -> str:
        return "pair"

    def prompt_hash(self, exchange: Exchange | Game) -> str:
        return repr(exchange)

    def grade(
        self, exchanges: Sequence[Exchange], done: Callable[[int, Grade], None]
    ) -> list[Grade]:
        grades = [Grade(min(10.0, len(one.answers[-1])), 1.0) for one in exchanges]
        for place, grade in enumerate(grades):
            done(place, grade)
        return grades

    def play(self, games: Sequence[Game], done: Callable[[int, Verdict], None]) -> list[Verdict]:
        self.games += len(games)
        found = [self._verdict(game) for game in games]
        for place, verdict in enumerate(found):
            done(place, verdict)
        return found

    def _verdict(self, game: Game) -> Verdict:
        a, b = game.answers_a[-1], game.answers_b[-1]
        if "?" in (a, b):
            return Verdict(None, "format")
        return Verdict("b" if len(b) > len(a) else "a")


class OneJudge(Bench):
    """A bench on which that one sits."""

    def __init__(self) -> None:
        self.it = LongerWins()

    @property
    def is_base(self) -> bool:
        return False

    def readings(self) -> tuple[str, ...]:
        return ("written",)

    @contextmanager
    def judge(self, reading: str, scale: Scale | None) -> Iterator[Judge]:
        yield self.it


class ClosedBench(OneJudge):
    """A bench that nobody may ask."""

    @contextmanager
    def judge(self, reading: str, scale: Scale | None) -> Iterator[Judge]:
        raise AssertionError("a judge was asked")
        yield


def pair(id: str, control: str, candidate: str) -> ShadowPair:
    asked = {"role": "user", "content": f"问题 {id}？"}
    return ShadowPair(id, START, f"user of {id}", (asked,), control, candidate)


PAIRS = [
    pair("win", "短的回答", "长得多的一个回答"),
    pair("loss", "长得多的一个回答", "短的回答"),
    pair("tie", "一样长的", "同样长的"),  # whoever is shown first wins
    pair("fault", "一个回答在这里", "?"),
    pair("empty", "一个回答在这里", " "),
    pair("only", "\n", "一个回答在这里"),
    pair("neither", "", " "),
]


def judged(bench: Bench, pairs: Sequence[ShadowPair], folder: Path) -> dict[str, int]:
    found = judge_pairs(bench, pairs, settings={"judge": 1}, card_rows=4, folder=folder)
    return dict(found.values)


def test_who_wins_in_both_orders_wins(tmp_path: Path) -> None:
    bench = OneJudge()
    found = judge_pairs(bench, PAIRS, settings={}, card_rows=4, folder=tmp_path)
    judged = {"win": 1, "loss": -1, "tie": 0}
    assert found.values == {**judged, "empty": -1, "only": 1, "neither": 0}
    assert (found.empty, found.failed, found.unfit, found.judge) == (3, 1, 0, "longer")
    assert [rating.value for rating in found.ratings(PAIRS)] == [1, -1, 0, -1, 1, 0]


def test_what_was_judged_is_not_asked_again(tmp_path: Path) -> None:
    bench = OneJudge()
    assert judged(bench, PAIRS[:2], tmp_path) == {"win": 1, "loss": -1}
    before = bench.it.games
    assert judged(bench, PAIRS[:2], tmp_path) == {"win": 1, "loss": -1}
    assert bench.it.games == before
    more = judged(bench, [*PAIRS[:2], pair("new", "短", "长一些")], tmp_path)
    assert more == {"win": 1, "loss": -1, "new": 1}


def test_empty_answers_alone_need_no_judge(tmp_path: Path) -> None:
    found = judge_pairs(ClosedBench(), PAIRS[4:], settings={}, card_rows=4, folder=tmp_path)
    assert (found.values, found.trusted) == ({"empty": -1, "only": 1, "neither": 0}, True)


def test_no_pair_needs_no_judge(tmp_path: Path) -> None:
    assert judged(OneJudge(), [], tmp_path) == {}


@pytest.mark.parametrize("kept", ["whole", "cut"])
def test_pairs_are_those_of_the_two_adapters_whose_answers_ended(kept: str, tmp_path: Path) -> None:
    finish = "stop" if kept == "whole" else "cancelled"
    seen = [exchange("a"), exchange("b", at=START + 1, answer="另一个")]
    unseen = [
        exchange("s", arm="shadow", shadow_of="a", answer="影", finish=finish),
        exchange("t", arm="shadow", shadow_of="b", answer="子", at=START + 2),
    ]
    with reading(write_log(tmp_path / "log.db", [*seen, *unseen])) as table:
        pairing = pairing_of(table)
        assert pairing is not None and pairing.kind == "shadow"
        found = pairs_of(table, pairing)
        other = replace(pairing, candidate=replace(pairing.candidate, digest="0"))
        assert pairs_of(table, other) == []
    texts = [(one.control, one.candidate) for one in found]
    assert texts == ([("在的。", "影")] if kept == "whole" else []) + [("另一个", "子")]


def test_a_local_judge_reads_logged_pairs(tiny_base: BaseModel, tmp_path: Path) -> None:
    """The tiny model knows nothing: its card says so."""
    config = composed("judge=local").judge
    lender = ModelLender()
    bench = Bench(config, tiny_base, lender, name="tiny")
    pairs = [pair(str(n), f"第 {n} 个回答，写得很长很长。", f"答 {n}") for n in range(6)]
    found = judge_pairs(bench, pairs, settings={}, card_rows=4, folder=tmp_path)
    lender.close()
    assert set(found.values) == {pair.id for pair in pairs}
    assert set(found.values.values()) <= {-1, 0, 1}
    assert found.sentences
