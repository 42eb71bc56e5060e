"""Each guard fails where it should, passes where it should, and fails where it cannot tell."""

from dataclasses import replace
from typing import Any

import pytest

from loraflow.promote.gate.decide import decide
from loraflow.promote.gate.decision import (
    BASE_MODEL,
    Evidence,
    GateEvidence,
    JudgeEvidence,
    LeakEvidence,
)
from loraflow.promote.gate.guards import GUARDS
from tests.promote.made_evidence import changed, found_by, gate, night, without


def with_judge(**fields: Any) -> Evidence:
    card = {"name": "法官", "trusted": True, "own": False, "same_card": True, **fields}
    return night(judge=JudgeEvidence(**card))


def test_every_guard_passes_a_good_challenger() -> None:
    decision = decide(night(300, gain=0.1), gate(metric="judge_rating"))
    assert [guard.name for guard in decision.guards] == list(GUARDS)
    assert all(guard.passed for guard in decision.guards), decision.sentence


def test_every_guard_passes_a_model_against_itself() -> None:
    evidence = night()
    decision = decide(replace(evidence, challenger=evidence.champion), gate())
    assert all(guard.passed for guard in decision.guards), decision.sentence


def test_rows_that_one_arm_has_not_answered_fail() -> None:
    evidence = night(gain=0.3)
    fewer = replace(evidence.challenger, items=evidence.challenger.items[1:])
    decision = decide(replace(evidence, challenger=fewer), gate())
    assert not decision.promote
    assert decision.items == 0
    assert "1 only the champion, 0 only the challenger" in decision.sentence


def test_other_rows_fail() -> None:
    other = changed(night(), lambda row: row | {"id": f"other {row['id']}"})
    assert not found_by("same_items", other).passed


def test_a_row_without_value_in_one_arm_fails_and_in_both_is_said() -> None:
    """As where a judge gave no rating: what it did not rate might be what is worse."""
    evidence = night()

    def unrated(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"rougeL": None} if row["id"] == "行7" else row

    one_sided = changed(evidence, unrated)
    found = found_by("same_items", one_sided)
    assert (found.passed, found.values["one_sided"]) == (False, 1)
    both = replace(one_sided, champion=one_sided.challenger)
    found = found_by("same_items", both)
    assert found.passed
    assert "1 of them have no rougeL in either" in found.words
    assert decide(both, gate()).items == 99


def test_arms_that_were_asked_otherwise_fail() -> None:
    evidence = night()
    settings = {"task": "sft", "evaluate": {"max_new_tokens": 128}}
    other = replace(evidence, challenger=replace(evidence.challenger, settings=settings))
    assert "other settings" in found_by("same_items", other).words


def test_another_gate_set_fails() -> None:
    found = found_by("gate_set", night(gate=GateEvidence("a" * 64, "b" * 64, 100)))
    assert not found.passed
    assert "are not those that were frozen" in found.words


@pytest.mark.parametrize(("rows", "passes"), [(100, True), (111, True), (112, False)])
def test_a_gate_set_that_was_hardly_answered_fails(rows: int, passes: bool) -> None:
    assert found_by("gate_set", night(gate=GateEvidence("a", "a", rows))).passed == passes


def test_a_leak_that_is_left_fails() -> None:
    assert not found_by("leak", night(leak=LeakEvidence("report", 2, 2))).passed
    found = found_by("leak", night(leak=LeakEvidence("remove", 2, 0)))
    assert found.passed
    assert "2 were found and removed" in found.words


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"trusted": False}, "not better than chance"),
        ({"own": True}, "the judge is the base"),
        ({"same_card": False}, "another judge than that of the card"),
    ],
)
def test_ratings_that_cannot_be_trusted_never_promote(card: dict[str, Any], words: str) -> None:
    evidence = replace(night(300, gain=0.3), judge=with_judge(**card).judge)
    decision = decide(evidence, gate(metric="judge_rating"))
    assert decision.difference.low > 0
    assert not decision.promote
    assert words in decision.sentence
    assert decide(evidence, gate()).promote, "rougeL does not need the judge"


def test_ratings_without_a_card_never_promote() -> None:
    decision = decide(night(300, gain=0.3, judge=None), gate(metric="judge_rating"))
    assert not decision.promote
    assert "no card" in decision.sentence


def forgetful(share: float, kind: str = "") -> Evidence:
    """A challenger that gets each n-th probe wrong, of one kind or of all."""
    evidence = night(300, gain=0.3)
    asked = [row for row in evidence.champion.probes or () if kind in row["kind"]]
    lost = {row["id"] for row in asked[: int(share * len(asked))]}
    probes = tuple(
        {**row, "choice_correct": 0.0 if row["id"] in lost else row["choice_correct"]}
        for row in evidence.champion.probes or ()
    )
    return replace(evidence, challenger=replace(evidence.challenger, probes=probes))


def test_forgetting_beyond_noise_fails() -> None:
    assert found_by("forgetting", forgetful(0.0)).passed
    found = found_by("forgetting", forgetful(0.4))
    assert not found.passed
    assert "worse beyond noise" in found.words
    assert not decide(forgetful(0.4), gate()).promote


def test_forgetting_that_few_probes_cannot_rule_out_fails() -> None:
    evidence = night(300, gain=0.3)
    arms = {
        name: replace(arm, probes=(arm.probes or ())[:6])
        for name, arm in (("champion", evidence.champion), ("challenger", evidence.challenger))
    }
    found = found_by("forgetting", replace(evidence, **arms))  # type: ignore[arg-type]
    assert not found.passed
    assert "may have lost more than" in found.words


def test_forgetting_one_kind_of_task_fails_though_the_whole_does_not_show_it() -> None:
    evidence = forgetful(1.0, "arithmetic")
    found = found_by("old_tasks", evidence)
    assert not found.passed
    assert "arithmetic" in found.words
    assert "language" not in found.words
    assert found_by("old_tasks", forgetful(0.0)).passed


def test_refusals_and_empty_answers_fail() -> None:
    def some(field: str, every: int) -> Evidence:
        return changed(
            night(300),
            lambda row: row | {field: float(int(row["id"].removeprefix("行")) % every == 0)},
        )

    for field in ("refusal", "empty"):
        assert not found_by("refusals", some(field, 20)).passed, field
        assert found_by("refusals", some(field, 300)).passed, "one row is noise"
    tolerant = gate(guards=gate().guards | {"refusals": {"tolerance": 0.1}})
    assert found_by("refusals", some("empty", 20), tolerant).passed


@pytest.mark.parametrize(
    ("champion", "challenger", "passes"),
    [
        (60, 80, True),
        (60, 110, True),
        (60, 130, False),
        (60, 25, False),
        (60, 0, False),
        (240, 62, True),  # the base model goes on and on: the first night
        (240, 0, False),
        (0, 50, True),
        (0, 0, True),
        (30, 110, True),  # twice the references' is near enough
        (30, 130, False),  # further from 60 than before
    ],
)
def test_a_length_may_change_much_only_near_the_references(
    champion: int, challenger: int, passes: bool
) -> None:
    evidence = changed(night(), lambda row: row | {"answer_characters": challenger})
    items = tuple({**row, "answer_characters": champion} for row in evidence.champion.items)
    before = replace(evidence, champion=replace(evidence.champion, items=items))
    assert found_by("answer_length", before).passed == passes


@pytest.mark.parametrize("name", ["forgetting", "old_tasks"])
def test_probes_that_were_not_asked_or_are_others_fail(name: str) -> None:
    evidence = night()
    unasked = replace(evidence, challenger=replace(evidence.challenger, probes=None))
    found = found_by(name, unasked)
    assert not found.passed
    assert f"not measured (evaluate.probes); measure it, or set gate.guards.{name}=null" in (
        found.words
    )
    other = changed(evidence, lambda row: row | {"id": "other"}, probes=True)
    assert "have not answered the same items" in found_by(name, other).words


@pytest.mark.parametrize("name", ["refusals", "answer_length"])
def test_a_behaviour_that_was_not_measured_fails(name: str) -> None:
    field = {"refusals": "empty", "answer_length": "answer_characters"}[name]
    found = found_by(name, changed(night(), lambda row: row | {field: None}))
    assert not found.passed
    assert "100 answers have no number" in found.words


def test_classes_need_the_choice_without_answers() -> None:
    evidence = night(60, reference=BASE_MODEL)
    labels = ("好", "坏")

    def arm(wrong: int) -> Any:
        items = tuple(
            {
                "id": str(row),
                "correct": float(row % wrong > 0),
                "reference": labels[row % 2],
                "answer": labels[row % 2 if row % wrong else 1 - row % 2],
            }
            for row in range(60)
        )
        settings = {"task": "classify", "evaluate": {}}
        return replace(evidence.champion, items=items, probes=None, settings=settings)

    night_of_classes = replace(evidence, champion=arm(2), challenger=arm(20))
    assert not decide(night_of_classes, gate()).promote
    for metric in (None, "f1"):
        decision = decide(night_of_classes, gate("without_answers", metric=metric))
        assert decision.promote, decision.sentence
        assert decision.metric == (metric or "accuracy")
    assert without("refusals").guards["refusals"] is None
