"""A card says what a judge can see, and neither more nor less."""

import json
from dataclasses import replace
from math import log2
from typing import Any

import pytest

from loraflow.compare.statistics import Interval, share_interval
from loraflow.evaluate.judge.base import Exchange
from loraflow.evaluate.judge.calibrate import make_card
from loraflow.evaluate.judge.card import Card, choose_reading
from loraflow.evaluate.judge.card_text import sentences
from loraflow.evaluate.judge.scale import Scale
from loraflow.evaluate.judge.spoil import KINDS
from loraflow.model.load import load_for_answers
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from tests.evaluate.judge.local_judges import judge_of
from tests.evaluate.judge.scripted import FirstWins, LongerWins, ScriptedJudge, row

WORDS = ["salt", "water", "iron", "copper", "silver", "gold", "stone", "sand", "clay", "glass"]


def genuine(number: int) -> str:
    """A sentence of its own, as long as the number is large."""
    words = [WORDS[(number + place) % len(WORDS)] for place in range(6 + number % 12)]
    return f"Number {number} is made of, as far as one can tell, {' and '.join(words)}."


ROWS = [row(str(n), f"What is number {n} made of?", genuine(n)) for n in range(30)]
ANSWERS = {of.questions[0]: of.answers[0] for of in ROWS}


def knows_all(question: str, answer: str) -> float:
    return 10.0 if answer == ANSWERS[question] else 1.0


def likes_long(question: str, answer: str) -> float:
    return log2(max(1, len(answer)))


def card_of(judge: ScriptedJudge, rows: list[Exchange] | None = None, repeats: int = 1) -> Card:
    return make_card(judge, rows or ROWS, seed=0, repeats=repeats)


def test_judge_that_knows_all_sees_all() -> None:
    card = card_of(ScriptedJudge(knows_all))
    assert [result.kind for result in card.kinds] == list(KINDS)
    assert all((result.pairs, result.wins, result.ties) == (30, 30, 0) for result in card.kinds)
    assert card.trusted and card.blind_to == ()
    assert card.scale is None and card.flips is None
    assert card.consistency is not None and card.consistency.identical == 1
    assert (card.judge, card.prompt, card.rows) == ("scripted", "single-v1", 30)


def test_ties_are_no_wins() -> None:
    card = card_of(ScriptedJudge(lambda *_: 5.0))
    assert all(result.ties == result.pairs for result in card.kinds)
    assert not card.trusted and card.blind_to == KINDS
    assert card.accuracy is not None and card.accuracy.value == 0


def test_judge_that_likes_long_answers_is_blind_to_the_order_of_words() -> None:
    card = card_of(ScriptedJudge(likes_long))
    wins = {result.kind: result.wins for result in card.kinds}
    assert wins["empty"] == wins["truncated"] == 30
    assert "shuffled" in card.blind_to and "wrong_question" in card.blind_to
    assert card.length_rating is not None
    assert card.length_rating.value == pytest.approx(1)
    assert card.length_rating == card.length_raw


def test_one_row_makes_no_judge_trusted() -> None:
    assert not card_of(ScriptedJudge(knows_all), ROWS[:1]).trusted


def test_failures_are_counted_and_left_out() -> None:
    def fails_on_empty(question: str, answer: str) -> float | None:
        return knows_all(question, answer) if answer else None

    card = card_of(ScriptedJudge(fails_on_empty), repeats=2)
    assert "empty" not in [result.kind for result in card.kinds]
    assert card.failures.call == 30 and card.failures.format == 0
    assert card.failures.judgments == 30 * 7 + 2 * 10
    assert any("30 were never answered" in text for text in sentences(card))


def test_judge_that_always_fails_has_a_card_too() -> None:
    card = card_of(ScriptedJudge(lambda *_: None))
    assert card.accuracy is None and not card.trusted
    assert "could not be checked" in sentences(card)[0]
    assert Card.from_dict(json.loads(json.dumps(card.as_dict()))) == card


def test_first_answer_winning_always_is_a_flip() -> None:
    card = card_of(FirstWins(knows_all))
    assert card.flips is not None
    assert (card.flips.games, card.flips.rate.value) == (40, 1)
    assert card.failures.judgments == 30 * 7 + 10 + 80


def test_games_of_one_row_are_no_independent_evidence() -> None:
    card = card_of(FirstWins(knows_all), ROWS[:5])
    assert card.flips is not None
    assert card.flips.games == 30 and card.flips.rate == share_interval(5, 5)


def test_verdict_that_follows_the_answers_is_no_flip() -> None:
    rows = [row("1", "What?", "A good answer, that says something.")]
    card = card_of(LongerWins(likes_long), rows)
    assert card.flips is not None and card.flips.rate.value == 0


def test_judge_of_another_unit_gets_a_scale() -> None:
    def nats(question: str, answer: str) -> float:
        return 40.0 * knows_all(question, answer) + len(answer) / 100

    card = card_of(ScriptedJudge(nats, rating=lambda _: 5.5))
    assert card.scale is not None
    assert card.scale.rating(400.0) > 8
    assert card.scale.rating(40.0) < 3
    assert card.length_raw is not None and card.length_rating is not None
    assert card.length_raw.value > card.length_rating.value > 0


def test_consistency_is_measured_by_asking_again() -> None:
    said: dict[tuple[str, str], int] = {}

    def changes_its_mind(question: str, answer: str) -> float:
        said[question, answer] = said.get((question, answer), 0) + 1
        return 5.0 + (said[question, answer] == 3)

    card = card_of(ScriptedJudge(changes_its_mind), repeats=2)
    again = card.consistency
    assert again is not None
    assert (again.repeats, again.identical, again.mean_difference) == (20, 0.5, 0.5)
    assert card_of(ScriptedJudge(knows_all), repeats=0).consistency is None


def test_same_seed_gives_the_same_card() -> None:
    judge = ScriptedJudge(likes_long)
    assert card_of(judge) == card_of(judge)
    assert card_of(judge) != make_card(judge, ROWS, seed=1, repeats=1)


def test_no_answers_make_no_card() -> None:
    with pytest.raises(ValueError, match="needs rows with answers"):
        card_of(ScriptedJudge(knows_all), [row("1", "?", " ")])


@pytest.mark.parametrize("judge", [ScriptedJudge(likes_long), FirstWins(likes_long)])
def test_card_comes_back_from_json(judge: ScriptedJudge) -> None:
    card = replace(card_of(judge), scale=Scale(1.0, 2.0))
    values: dict[str, Any] = json.loads(json.dumps(card.as_dict()))
    assert Card.from_dict(values) == card
    assert values["trusted"] == card.trusted and values["blind_to"] == list(card.blind_to)


def test_better_reading_is_chosen() -> None:
    good, poor = card_of(ScriptedJudge(knows_all)), card_of(ScriptedJudge(likes_long))
    none = replace(good, accuracy=None)
    assert choose_reading({"none": none, "poor": poor, "good": good}) == "good"
    assert choose_reading({"first": good, "second": good}) == "first"


def test_sentences_name_sight_and_blindness() -> None:
    text = " ".join(sentences(card_of(ScriptedJudge(likes_long))))
    assert "It sees answers cut to a third 100% (89 to 100%); empty answers" in text
    assert "It does not see answers to another question" in text
    assert "not whether it is true or well written" in text
    assert "twice the length gets +1.00 points" in text
    assert "gives the same rating in 100% of 10 cases" in text


def test_sentences_of_a_trusted_local_judge_name_its_limits() -> None:
    text = " ".join(sentences(card_of(ScriptedJudge(lambda *_: 5.0))))
    assert "do not trust its ratings" in text and "is not checked here" in text
    text = " ".join(sentences(card_of(ScriptedJudge(knows_all))))
    assert "which is better than chance" in text and "does not see" not in text
    assert "relevant to its question and complete, not whether it is true or well written" in text


def test_sentences_of_a_judge_that_sees_both() -> None:
    card = replace(card_of(FirstWins(lambda *_: 5.0)), length_rating=Interval(0.1, -0.2, 0.4))
    text = " ".join(sentences(card))
    assert "may be chance: do not trust its ratings" in text
    assert "When two answers change places its verdict changes in 100%" in text
    assert "neither more nor fewer points, as far as can be told (-0.20 to +0.40" in text
    assert "Whether it tells true from false" in text


def test_local_judge_gets_its_scale_from_its_card(tiny_base: BaseModel) -> None:
    model, tokenizer = load_for_answers(tiny_base, None), load_tokenizer(tiny_base)
    judge = judge_of(model, tokenizer, tiny_base, "information", scale=Scale.neutral())
    card = make_card(judge, ROWS[:6], seed=0, repeats=1)
    assert card.scale is not None and card.prompt == "information"
    assert card.consistency is not None and card.consistency.identical == 1
    plain = judge_of(model, tokenizer, tiny_base, "rating")
    assert make_card(plain, ROWS[:6], seed=0, repeats=1).scale is None
