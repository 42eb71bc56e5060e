"""What a judge said is kept and paid once; what it could not say now is asked again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from loraflow.config import Config
from loraflow.errors import UserError
from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.base import Exchange, Game, Grade, Verdict
from loraflow.evaluate.judge.local import NO_ROOM
from loraflow.files import read_json
from loraflow.plan.evaluation import who_judges
from loraflow.serve.traffic.judging import judge_pairs
from loraflow.serve.traffic.replies import all_answered
from loraflow.serve.traffic.shadows import Judged
from tests.conftest import composed
from tests.serve.traffic.test_shadow_judge import PAIRS, LongerWins, OneJudge, pair

DOWN = "status 503: try later"
RARE = "独一无二的一个长回答"
THREE = [pair("win", "短的回答", RARE), *PAIRS[1:3]]
TOO_LONG = "status 400: context length exceeded"


class FaultyJudge(LongerWins):
    """A judge whose endpoint answers some calls with a fault, until it is mended."""

    def __init__(self, grades: str = "", verdicts: str = "") -> None:
        super().__init__()
        self.grades = grades
        self.verdicts = verdicts
        self.graded = 0

    def grade(
        self, exchanges: Sequence[Exchange], done: Callable[[int, Grade], None]
    ) -> list[Grade]:
        self.graded += len(exchanges)
        if not self.grades:
            return super().grade(exchanges, done)
        fault = Grade(None, None, "call", self.grades)
        done(0, fault)
        return [fault, *super().grade(exchanges[1:], lambda place, it: done(place + 1, it))]

    def _verdict(self, game: Game) -> Verdict:
        if self.verdicts and RARE in (game.answers_a[-1], game.answers_b[-1]):
            return Verdict(None, "call", self.verdicts)
        return super()._verdict(game)


def bench_of(judge: LongerWins) -> OneJudge:
    bench = OneJudge()
    bench.it = judge
    return bench


def judged(judge: LongerWins, folder: Path, count: int = 3) -> Judged:
    return judge_pairs(bench_of(judge), THREE[:count], settings={}, card_rows=4, folder=folder)


def test_verdicts_that_did_not_come_are_asked_for_again(tmp_path: Path) -> None:
    judge = FaultyJudge(verdicts=DOWN)
    with pytest.raises(UserError, match=r"judge\.api: 2 of 6 calls got no answer \(status 503"):
        judged(judge, tmp_path)
    judge.verdicts = ""
    asked = judge.games
    assert judged(judge, tmp_path).values == {"win": 1, "loss": -1, "tie": 0}
    assert judge.games == asked + 2  # the two orders of the pair that failed


def test_a_card_is_not_made_while_the_endpoint_is_down(tmp_path: Path) -> None:
    judge = FaultyJudge(grades=DOWN)
    with pytest.raises(UserError, match=r"judge\.api: \d of \d+ calls got no answer"):
        judged(judge, tmp_path)
    assert not list(tmp_path.glob("card/*/result.json"))
    judge.grades, asked = "", judge.graded
    assert judged(judge, tmp_path).failed == 0
    assert judge.graded - asked < 5  # those that failed, of all kinds of damage


def test_a_call_that_is_refused_for_what_it_asks_is_a_failure_for_good(tmp_path: Path) -> None:
    """Else one text that is too long for the judge would stop every report."""
    judge = FaultyJudge(grades=TOO_LONG, verdicts=TOO_LONG)
    found = judged(judge, tmp_path)
    assert (found.values, found.failed) == ({"loss": -1, "tie": 0}, 1)


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        ("status 429: slow down", True),
        ("status 402: no balance", True),
        ("timed out", True),
        ("status 413: too large", False),
        (NO_ROOM, False),
    ],
)
def test_only_what_may_pass_stops_a_report(reason: str, passes: bool, tmp_path: Path) -> None:
    def ask() -> None:
        with all_answered(tmp_path), Journal(tmp_path / "written.jsonl") as journal:
            journal.add("a", {"failure": "call", "judgment": reason})
            journal.add("b", {"failure": "format", "judgment": "？"})

    if not passes:
        ask()
        return
    with pytest.raises(UserError, match=r"1 of 2 calls"):
        ask()
    with all_answered(tmp_path):  # what failed before is not asked now
        pass


def test_a_test_on_other_rows_asks_only_what_is_new(tmp_path: Path) -> None:
    """The first pairs are others once the test began anew, or somebody was forgotten."""
    judge = FaultyJudge()
    judged(judge, tmp_path, count=3)
    graded, games = judge.graded, judge.games
    more = [pair("new", "短", "长一些"), *THREE]
    judge_pairs(bench_of(judge), more, settings={}, card_rows=4, folder=tmp_path)
    assert judge.graded - graded < graded
    assert judge.games > games


def test_texts_of_users_are_not_copied_at_every_run(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        judged(LongerWins(), tmp_path, count=count)
    (games,) = (tmp_path / "games").iterdir()
    assert set(read_json(games / "games.json")["values"]) == {"win", "loss", "tie"}
    for result in tmp_path.glob("*/*/result.json"):
        assert "回答" not in json.dumps(read_json(result), ensure_ascii=False)


def asked_at(*overrides: str) -> Config:
    return composed("judge=openai", "judge.api.model=m", *overrides)


@pytest.mark.parametrize(
    ("override", "is_another"),
    [
        ("judge.api.concurrency=9", False),
        ("judge.api.timeout_seconds=5", False),
        ("judge.api.price_per_million_input=3.0", False),
        ("judge.card_rows=5", False),
        ("judge.api.model=other", True),
        ("judge.api.base_url=http://127.0.0.1:8000/v1", True),
        ("judge.api.max_tokens=9", True),
    ],
)
def test_a_judge_is_another_only_if_it_may_say_something_else(
    override: str, is_another: bool
) -> None:
    before, after = (who_judges(config, None) for config in (asked_at(), asked_at(override)))
    assert (before != after) == is_another


def test_prompts_count_by_what_is_in_them(tmp_path: Path) -> None:
    def who(name: str, text: str) -> dict[str, Any]:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return who_judges(asked_at(f"judge.prompts={tmp_path / name}"), None)

    assert who("a.jsonl", "一") == who("b.jsonl", "一") != who("a.jsonl", "二")
