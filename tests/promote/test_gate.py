"""The gate promotes what is better beyond the noise, and nothing else."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from loraflow.errors import UserError
from loraflow.promote.gate.decide import decide, gate_faults
from loraflow.promote.gate.decision import BASE_MODEL, Decision, Evidence
from loraflow.promote.gate.markdown import as_markdown
from tests.promote.made_evidence import changed, gate, night, without

NIGHTS = 120


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False))


@pytest.mark.parametrize("metric", ["rougeL", "loss", "perplexity", "exact_match", "judge_rating"])
def test_a_clear_gain_is_promoted(metric: str) -> None:
    decision = decide(night(300, gain=0.15), gate(metric=metric))
    assert decision.promote, decision.sentence
    assert decision.difference.low > 0
    assert decision.sentence.startswith("Promote over version 3: the gain")


@pytest.mark.parametrize("metric", ["rougeL", "loss", "perplexity", "exact_match", "judge_rating"])
def test_a_clear_loss_keeps_the_champion(metric: str) -> None:
    decision = decide(night(300, gain=-0.15), gate(metric=metric))
    assert not decision.promote
    assert decision.difference.high < 0


def test_the_values_of_a_loss_keep_their_sign_and_the_gain_is_turned() -> None:
    decision = decide(night(300, gain=0.2), gate(metric="loss"))
    assert decision.challenger.value < decision.champion.value
    assert decision.difference.mean == pytest.approx(
        decision.champion.value - decision.challenger.value
    )
    assert decision.difference.low < decision.difference.mean < decision.difference.high


EQUAL = [("rougeL", 12), ("rougeL", 60), ("loss", 40), ("exact_match", 30), ("exact_match", 200)]


@pytest.mark.parametrize(("metric", "rows"), EQUAL)
def test_of_nights_without_a_difference_few_are_promoted(metric: str, rows: int) -> None:
    """The bound is one-sided, so 2.5% are expected, and 5% would be a fault."""
    assert_few_of_equals_win(metric, rows, NIGHTS)


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "rows"), EQUAL)
def test_of_many_nights_without_a_difference_few_are_promoted(metric: str, rows: int) -> None:
    assert_few_of_equals_win(metric, rows, 1_000)


def assert_few_of_equals_win(metric: str, rows: int, nights: int) -> None:
    settings = gate(metric=metric)
    decisions = [decide(night(rows, seed=seed), settings) for seed in range(nights)]
    assert sum(one.difference.low > 0 for one in decisions) <= 0.05 * nights
    assert sum(one.promote for one in decisions) <= 0.05 * nights


@pytest.mark.parametrize("metric", ["rougeL", "loss", "exact_match"])
def test_worse_challengers_are_never_promoted(metric: str) -> None:
    settings = gate(metric=metric)
    nights = [night(60, gain=-0.08, seed=seed) for seed in range(NIGHTS // 2)]
    assert not any(decide(one, settings).promote for one in nights)


POISONS: dict[str, dict[str, Any]] = {
    "writes nothing": {"rougeL": 0.0, "answer_characters": 0, "empty": 1.0},
    "refuses all": {"refusal": 1.0, "answer_characters": 40},
    "does not end": {"answer_characters": 4000},
    "has diverged": {"rougeL": None, "loss": None},
    "is not a number": {"rougeL": math.nan, "loss": math.nan},
    "is infinite": {"rougeL": math.inf, "loss": -math.inf},
}


@pytest.mark.parametrize("metric", ["rougeL", "loss", "perplexity"])
@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_challenger_is_not_promoted_however_good_its_score(
    poison: str, metric: str
) -> None:
    clean = night(300, gain=0.3)
    assert decide(clean, gate(metric=metric)).promote
    decision = decide(changed(clean, lambda row: row | POISONS[poison]), gate(metric=metric))
    assert not decision.promote
    assert decision.sentence.startswith("Keep version 3: ")
    assert_is_the_same_behind_json(decision)


def assert_is_the_same_behind_json(decision: Decision) -> None:
    again = Decision.from_dict(through_json(decision.as_dict()))
    assert again.as_dict() == decision.as_dict()


def test_the_whole_interval_must_be_above_the_margin() -> None:
    evidence = night(300, gain=0.05)
    low = decide(evidence, gate()).difference.low
    assert low > 0
    assert decide(evidence, gate(margin=low * 0.99)).promote
    decision = decide(evidence, gate(margin=low))  # exceeds, not reaches
    assert not decision.promote
    assert "is not above" in decision.sentence


def test_the_same_answers_are_no_gain() -> None:
    evidence = night(50)
    decision = decide(replace(evidence, challenger=evidence.champion), gate())
    assert (decision.difference.mean, decision.difference.low) == (0.0, 0.0)
    assert not decision.promote


def test_a_single_row_proves_nothing() -> None:
    decision = decide(night(1, gain=0.5, noise=0.01), gate())
    assert not decision.promote
    assert "cannot be told" in decision.sentence
    assert_is_the_same_behind_json(decision)


def test_a_failed_guard_outweighs_any_gain() -> None:
    evidence = changed(night(300, gain=0.3), lambda row: row | {"refusal": 1.0})
    decision = decide(evidence, gate())
    assert decision.difference.low > 0
    assert not decision.promote
    assert "guard refusals" in decision.sentence
    assert decide(evidence, without("refusals")).promote


def test_evidence_and_decision_are_the_same_behind_json_and_so_is_what_follows() -> None:
    evidence = night(40, gain=0.1)
    decision = decide(evidence, gate())
    read = Evidence.from_dict(through_json(evidence.as_dict()))
    assert read == evidence
    assert Decision.from_dict(through_json(decision.as_dict())) == decision
    assert decide(read, gate()) == decision


def test_the_first_night_is_against_the_base_model() -> None:
    decision = decide(night(300, gain=0.2, reference=BASE_MODEL), gate())
    assert decision.sentence.startswith("Promote over the base model: ")


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("rougel", r"gate\.metric=rougel does not say .* \(did you mean rougeL\?\)"),
        ("refusal_share", r"gate\.metric=refusal_share does not say which of two models"),
        ("f1", r"gate\.metric=f1 was measured of no arm; choose one of exact_match, rougeL"),
    ],
)
def test_a_metric_that_cannot_decide_is_an_error(metric: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        decide(night(), gate(metric=metric))


@pytest.mark.parametrize(
    ("guards", "words"),
    [
        ({"leak": None}, r"gate\.guards\.leak=null: no comparison is valid without it"),
        ({"refusal": {}}, r"gate\.guards\.refusal is no guard \(did you mean refusals\?\)"),
        ({"refusals": {}}, r"gate\.guards\.refusals\.tolerance has no value"),
        ({"refusals": {"tolerance": -1}}, r"refusals\.tolerance=-1 must be a number of at least 0"),
        ({"refusals": {"tolerance": True}}, r"refusals\.tolerance=True must be a number"),
        ({"judge": {"trust": 1}}, r"gate\.guards\.judge\.trust is no parameter of judge; .* none"),
    ],
)
def test_faults_of_guards_name_the_key(guards: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        decide(night(), gate(guards=gate().guards | guards))


@pytest.mark.parametrize("choice", ["default", "strict", "without_answers"])
def test_every_choice_has_no_fault(choice: str) -> None:
    assert gate_faults(gate(choice)) == []


def test_markdown_shows_numbers_and_guards_and_survives_any_name() -> None:
    evidence = night(50, gain=0.1, reference="version 3 | *冠军* <b>")
    text = as_markdown(decide(evidence, gate(metric="judge_rating")))
    assert r"version 3 \| \*冠军\* \<b\>" in text
    assert "judge_rating (higher is better)" in text
    assert "| same items | ✓ passed |" in text
    failed = changed(evidence, lambda row: row | {"refusal": 1.0, "rougeL": None})
    assert "| refusals | ✗ **failed** |" in as_markdown(decide(failed, gate()))
