"""Agreement with people, as FastChat and scikit-learn count it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from loraflow.compare.statistics import share_interval
from loraflow.errors import UserError
from loraflow.evaluate.judge.agreement import Agreements, Vote, measure_agreement, read_votes
from loraflow.evaluate.judge.base import Game, Verdict
from loraflow.evaluate.judge.ratings import Winner

SIDES: tuple[Winner, ...] = ("a", "b", "tie")


def vote(winner: Winner, question: str = "?") -> Vote:
    return Vote(Game("1", (question,), ("x",), ("y",)), winner)


def measured(pairs: list[tuple[Winner, Winner | None]]) -> Agreements:
    votes = [vote(human, f"question {n}") for n, (human, _) in enumerate(pairs)]
    return measure_agreement(votes, [Verdict(judge) for _, judge in pairs], seed=0)


def test_agreement_with_and_without_ties() -> None:
    found = measured(
        [
            ("a", "a"),
            ("b", "b"),
            ("a", "b"),
            ("tie", "tie"),
            ("tie", "a"),
            ("b", "tie"),
            ("a", None),
        ]
    )
    assert found.failures == 1
    assert (found.with_ties.items, found.without_ties.items) == (6, 3)
    assert found.with_ties.raw is not None and found.without_ties.raw is not None
    assert found.with_ties.raw.value == pytest.approx(3 / 6)
    assert found.without_ties.raw.value == pytest.approx(2 / 3)


def test_kappa_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    human = [SIDES[n] for n in generator.integers(3, size=60)]
    judge = [h if generator.random() < 0.6 else SIDES[generator.integers(3)] for h in human]
    found = measured(list(zip(human, judge, strict=True))).with_ties
    assert found.raw is not None and found.kappa is not None
    assert found.kappa.value == pytest.approx(cohen_kappa_score(human, judge))
    assert found.kappa.low < found.kappa.value < found.kappa.high < 1
    assert found.raw.low < found.raw.value < found.raw.high


def test_kappa_of_one_word_is_unknown() -> None:
    found = measured([("a", "a")] * 4)
    assert found.with_ties.kappa is None
    assert found.with_ties.raw is not None and found.with_ties.raw.value == 1


def test_few_votes_that_all_agree_are_no_certainty() -> None:
    found = measured([("a", "a"), ("b", "b"), ("a", "a"), ("b", "b"), ("a", "a")]).with_ties
    assert found.raw == share_interval(5, 5)
    assert found.kappa is not None
    assert (found.kappa.value, found.kappa.high) == pytest.approx((1, 1))
    assert 0 < found.kappa.low < 0.3


def test_nothing_to_compare_is_no_agreement() -> None:
    found = measured([("tie", "a"), ("a", None)])
    assert found.without_ties.items == 0 and found.without_ties.raw is None
    assert json.loads(json.dumps(found.as_dict()))["without_ties"]["items"] == 0


def test_votes_on_one_question_are_one_cluster() -> None:
    winners = SIDES[:2] * 20
    verdicts = [Verdict("a")] * 40
    apart = measure_agreement([vote(w, str(n)) for n, w in enumerate(winners)], verdicts, seed=0)
    questions = [n // 2 for n in range(36)] + [18, 19, 18, 19]  # two of one mind, the others split
    pairs = [vote(w, str(n)) for w, n in zip(winners, questions, strict=True)]
    together = measure_agreement(pairs, verdicts, seed=0)
    assert apart.with_ties.raw is not None and together.with_ties.raw is not None
    assert together.with_ties.raw.value == apart.with_ties.raw.value == 0.5
    assert together.with_ties.raw.high - together.with_ties.raw.low < 0.2
    assert apart.with_ties.raw.high - apart.with_ties.raw.low > 0.2


ROW = {"question": "谁？", "answer_a": "我", "answer_b": "你", "winner": "a"}


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "votes.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_votes_are_read(tmp_path: Path) -> None:
    winners = ["a", "b", "tie", "model_a", "model_b", "tie (inconsistent)"]
    votes = read_votes(written(tmp_path, *({**ROW, "winner": winner} for winner in winners), ""))
    assert [vote.winner for vote in votes] == ["a", "b", "tie", "a", "b", "tie"]
    assert votes[0].game.questions == ("谁？",)
    assert (votes[0].game.answers_a, votes[0].game.answers_b) == (("我",), ("你",))


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([ROW, "{no"], r"votes.jsonl:2 is no JSON .*mend the line"),
        ([{**ROW, "winner": "c"}], r"votes.jsonl:1: winner='c' must be \"a\", \"b\" or \"tie\""),
        ([{**ROW, "winner": None}], "winner=None must be"),
        ([{"question": "?"}], "votes.jsonl:1 must hold the texts question, answer_a, answer_b"),
        ([{**ROW, "answer_a": 3}], "votes.jsonl:1 must hold the texts"),
        (["[]"], "votes.jsonl:1 must hold the texts"),
        ([""], "holds no votes"),
    ],
)
def test_faulty_votes_are_refused(tmp_path: Path, rows: list[Any], match: str) -> None:
    with pytest.raises(UserError, match=f"judge.human_labels=.*{match}"):
        read_votes(written(tmp_path, *rows))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_unreadable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "votes.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"judge\.human_labels=.*cannot be read"):
        read_votes(path)
