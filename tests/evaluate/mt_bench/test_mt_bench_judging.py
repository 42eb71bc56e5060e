"""Each turn is judged as FastChat does, each judgment once, and no failure becomes a score."""

import json
from pathlib import Path
from typing import Any

import pytest

from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.base import Exchange, Game, Grade, Judge, Verdict
from loraflow.evaluate.mt_bench.judge_pair import judge_pair
from loraflow.evaluate.mt_bench.judge_single import judge_single
from loraflow.evaluate.mt_bench.judging import Judgment, judgment_path
from tests.evaluate.mt_bench.scripted import QUESTIONS, ScriptedJudge, answered

ANSWERS = [answered("base"), answered("longer")]
PAIRS = [("base", "longer")]
JUDGMENTS = 10  # 2 models x (3 first turns + 2 second turns)


def single(judge: Judge, path: Path, answers: Any = ANSWERS) -> list[Judgment]:
    with Journal(path / "journal.jsonl") as journal:
        return judge_single(judge, QUESTIONS, answers=answers, journal=journal)


def pair(judge: Judge, path: Path, answers: Any = ANSWERS) -> list[Judgment]:
    with Journal(path / "journal.jsonl") as journal:
        return judge_pair(judge, QUESTIONS, answers=answers, pairs=PAIRS, journal=journal)


def test_turn_1_is_judged_alone_and_turn_2_with_both(tmp_path: Path) -> None:
    judge = ScriptedJudge()
    single(judge, tmp_path, [answered("m")])
    by_turn = {(one.id, len(one.questions)): one for one in judge.asked}
    assert by_turn == {
        ("1", 1): Exchange("1", ("q1-1",), ("m 1-1",)),
        ("1", 2): Exchange("1", ("q1-1", "q1-2"), ("m 1-1", "m 1-2")),
        ("2", 1): Exchange("2", ("q2-1",), ("m 2-1",), ("r2-1",)),
        ("2", 2): Exchange("2", ("q2-1", "q2-2"), ("m 2-1", "m 2-2"), ("r2-1", "r2-2")),
        ("3", 1): Exchange("3", ("q3-1",), ("m 3-1",)),  # extraction has references, unused
    }


def test_rows_have_fastchats_shape(tmp_path: Path) -> None:
    rows = single(ScriptedJudge(), tmp_path)
    assert rows[2] == {
        "question_id": 2,
        "model": "base",
        "judge": ["scripted", "single-math-v1"],
        "user_prompt": "rate",
        "judgment": "so so [[5]]",
        "score": 5.0,
        "raw": 5.0,
        "failure": "",
        "turn": 1,
        "tstamp": 0,
    }
    assert [(row["turn"], row["question_id"], row["model"]) for row in rows] == [
        (turn, number, model)
        for turn, numbers in ((1, (1, 2, 3)), (2, (1, 2)))
        for number in numbers
        for model in ("base", "longer")
    ]
    assert judgment_path(tmp_path, "org/judge", "pair") == (
        tmp_path / "model_judgment" / "org--judge_pair.jsonl"
    )


def test_a_missing_answer_is_reported_and_never_judged(tmp_path: Path) -> None:
    answers = [answered("base", without=(2,)), answered("longer")]
    judge = ScriptedJudge()
    failed = [row for row in single(judge, tmp_path, answers) if row["score"] == -1]
    assert [(row["question_id"], row["turn"], row["failure"]) for row in failed] == [
        (2, 1, "missing_answer"),
        (2, 2, "missing_answer"),
    ]
    assert failed[1]["judge"] == ["scripted", "single-math-v1-multi-turn"]
    assert failed[1]["user_prompt"] == failed[1]["judgment"] == ""
    rows = pair(judge, tmp_path, answers)
    assert [row["failure"] for row in rows] == ["", "missing_answer", "", "", "missing_answer"]
    assert {rows[1]["g1_winner"], rows[1]["g2_winner"]} == {"error"}
    assert "" not in {text for one in judge.asked for text in shown(one)}


def shown(asked: Exchange | Game) -> tuple[str, ...]:
    return asked.answers if isinstance(asked, Exchange) else asked.answers_a + asked.answers_b


@pytest.mark.parametrize("killed_after", range(JUDGMENTS + 1))
@pytest.mark.parametrize("run", [single, pair])
def test_after_a_kill_only_the_rest_is_asked(run: Any, killed_after: int, tmp_path: Path) -> None:
    unbroken = run(ScriptedJudge(), tmp_path / "unbroken")
    killed = ScriptedJudge(killed_after=killed_after)
    if killed_after < JUDGMENTS:
        with pytest.raises(KeyboardInterrupt):
            run(killed, tmp_path)
    else:
        run(killed, tmp_path)
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'["half a li')
    judge = ScriptedJudge()
    assert run(judge, tmp_path) == unbroken
    assert len(judge.asked) == JUDGMENTS - killed_after
    assert not any(one in killed.asked for one in judge.asked)


def test_failures_are_kept_and_asked_again(tmp_path: Path) -> None:
    def fails(exchange: Exchange) -> Grade:
        if exchange.id != "1":
            return Grade(6.0, 1.25, judgment="[[6]]")
        return Grade(None, None, failure="format", judgment="I would say six")

    rows = single(ScriptedJudge(fails), tmp_path)
    assert [row["score"] for row in rows] == [-1, -1, 6, 6, 6, 6, -1, -1, 6, 6]
    assert {(row["failure"], row["raw"], row["judgment"]) for row in rows} == {
        ("format", None, "I would say six"),
        ("", 1.25, "[[6]]"),
    }
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert sum(json.loads(line)[1]["failure"] == "format" for line in lines) == 4
    again = ScriptedJudge()
    assert [row["score"] for row in single(again, tmp_path)] == [5, 5, 6, 6, 6, 6, 5, 5, 6, 6]
    assert {one.id for one in again.asked} == {"1"}
    assert len(again.asked) == 4


def test_a_changed_answer_or_judge_is_asked_again(tmp_path: Path) -> None:
    single(ScriptedJudge(), tmp_path)
    changed = ScriptedJudge()
    turns = {**ANSWERS[0].turns, 1: ("base 1-1", "rewritten")}
    single(changed, tmp_path, [type(ANSWERS[0])("base", turns), ANSWERS[1]])
    assert [shown(one) for one in changed.asked] == [("base 1-1", "rewritten")]
    other = ScriptedJudge(name="other")
    single(other, tmp_path)
    assert len(other.asked) == JUDGMENTS


def test_two_models_with_equal_answers_are_two_judgments(tmp_path: Path) -> None:
    twin = type(ANSWERS[0])("twin", ANSWERS[0].turns)
    rows = single(ScriptedJudge(), tmp_path, [ANSWERS[0], twin])
    assert len(rows) == JUDGMENTS
    assert {row["model"] for row in rows} == {"base", "twin"}


def test_both_games_are_mapped_back_to_the_models(tmp_path: Path) -> None:
    judge = ScriptedJudge()
    rows = pair(judge, tmp_path)
    assert {(row["g1_winner"], row["g2_winner"]) for row in rows} == {("model_2", "model_2")}
    assert rows[3] == {
        "question_id": 1,
        "model_1": "base",
        "model_2": "longer",
        "g1_winner": "model_2",
        "g2_winner": "model_2",
        "judge": ["scripted", "pair-v1-multi-turn"],
        "g1_user_prompt": "base 1-1 base 1-2",
        "g1_judgment": "longer",
        "g2_user_prompt": "longer 1-1 longer 1-2",
        "g2_judgment": "longer",
        "failure": "",
        "turn": 2,
        "tstamp": 0,
    }
    assert len(judge.asked) == JUDGMENTS  # 5 rows of two games


@pytest.mark.parametrize(
    ("winner", "expected"),
    [("a", ("model_1", "model_2")), ("b", ("model_2", "model_1")), ("tie", ("tie", "tie"))],
)
def test_a_judge_that_follows_the_position_contradicts_itself(
    winner: Any, expected: tuple[str, str], tmp_path: Path
) -> None:
    rows = pair(ScriptedJudge(decide=lambda _: Verdict(winner)), tmp_path)
    assert {(row["g1_winner"], row["g2_winner"]) for row in rows} == {expected}


def test_a_game_that_failed_fails_its_row(tmp_path: Path) -> None:
    def fails(game: Game) -> Verdict:
        if game.answers_a[0].startswith("longer"):
            return Verdict(None, failure="call")
        return Verdict("a")

    rows = pair(ScriptedJudge(decide=fails), tmp_path)
    assert {(row["g1_winner"], row["g2_winner"], row["failure"]) for row in rows} == {
        ("model_1", "error", "call")
    }


def test_a_judge_that_cannot_see_the_order_plays_once(tmp_path: Path) -> None:
    judge = ScriptedJudge(sees_both=False)
    rows = pair(judge, tmp_path)
    assert {(row["g1_winner"], row["g2_winner"]) for row in rows} == {("model_2", "model_2")}
    assert len(judge.asked) == JUDGMENTS / 2


def test_single_and_pair_share_a_journal(tmp_path: Path) -> None:
    judge = ScriptedJudge()
    first = single(judge, tmp_path), pair(judge, tmp_path)
    asked = len(judge.asked)
    assert (single(judge, tmp_path), pair(judge, tmp_path)) == first
    assert len(judge.asked) == asked == 2 * JUDGMENTS
