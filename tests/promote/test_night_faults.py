"""What would make a night useless is said before it begins."""

import re

import pytest

from loraflow.promote.gate.check import night_faults
from tests.conftest import composed
from tests.promote.made_evidence import gate, without


@pytest.mark.parametrize(
    ("choice", "overrides"),
    [
        ("default", []),
        ("strict", ["evaluate.probes=[zh]"]),
        ("default", ["train=preference"]),
        ("without_answers", ["train=text", "data=text", "data.path=[a.txt]"]),
        ("without_answers", ["evaluate.probes=[]"]),
    ],
)
def test_what_can_be_decided_has_no_fault(choice: str, overrides: list[str]) -> None:
    assert night_faults(gate(choice), composed(*overrides)) == []


def test_a_judge_of_its_own_may_decide() -> None:
    config = composed("judge=local_other", "judge.model.location=org/model")
    assert night_faults(gate(metric="judge_rating"), config) == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["judge=none"], "needs a judge of held-out rows"),
        (["judge.held_out=false"], "needs a judge of held-out rows"),
        (["judge=local"], "judge.model=null: the base model finds its own answers likely"),
    ],
)
def test_a_judge_that_could_never_promote_is_a_fault(overrides: list[str], words: str) -> None:
    (fault,) = night_faults(gate(metric="judge_rating"), composed(*overrides))
    assert words in fault


def test_guards_of_what_is_not_measured_are_a_fault() -> None:
    (fault,) = night_faults(gate(), composed("evaluate.probes=[]"))
    assert re.search(r"evaluate\.probes=\[\]; .*guards\.forgetting=null .*old_tasks=null", fault)
    assert night_faults(without("forgetting", "old_tasks"), composed("evaluate.probes=[]")) == []
    (fault,) = night_faults(gate(), composed("train=text", "data=text", "data.path=[a.txt]"))
    assert "choose gate=without_answers" in fault


def test_faults_of_the_gate_itself_are_among_them() -> None:
    (fault,) = night_faults(gate(metric="rougeX"), composed())
    assert "gate.metric=rougeX" in fault
